"""The face reader gives the same results in batches as InsightFace, with quality in real units."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.app import FaceAnalysis

from face_index.errors import PackMissing, PackNotLicensed, PackUnusable
from face_index.faces.alignment import head_poses
from face_index.faces.face import Face, unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.faces.quality import QualityBar
from face_index.faces.refusals import Why
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK as SHIPPED
from tests.conftest import shared


def drawn(count: int, first: int = 40) -> list[npt.NDArray[np.uint8]]:
    return [draw_photo(person_of(seed), 0).pixels for seed in range(first, first + count)]


def plain_loop(
    pack: FacePack, images: list[npt.NDArray[np.uint8]]
) -> list[list[npt.NDArray[np.float32]]]:
    """One FaceAnalysis.get call per image, largest face first: what the reader must equal."""
    app = FaceAnalysis(name=str(pack.folder), allowed_modules=["detection", "recognition"])
    app.prepare(ctx_id=0, det_thresh=pack.bar.min_detector_score, det_size=pack.detection_size)

    def area(face: object) -> float:
        left, top, right, bottom = face.bbox  # type: ignore[attr-defined]
        return -(right - left) * (bottom - top)

    return [
        [face.normed_embedding for face in sorted(app.get(image[..., ::-1]), key=area)]
        for image in images
    ]


def largest_gap(ours: list[list[Face]], plain: list[list[npt.NDArray[np.float32]]]) -> float:
    assert [len(faces) for faces in ours] == [len(vectors) for vectors in plain]
    return max(
        float(np.abs(face.embedding - vector).max())
        for faces, vectors in zip(ours, plain, strict=True)
        for face, vector in zip(faces, vectors, strict=True)
    )


def test_a_batch_gives_what_one_call_an_image_gives(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack
) -> None:
    images = [*drawn(37), np.zeros((64, 96, 3), np.uint8), np.hstack(drawn(2, first=5))]
    assert largest_gap(miniature_reader.read(images), plain_loop(miniature_pack, images)) <= 1e-4


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(20, 300), st.integers(20, 300)), min_size=1, max_size=12),
    st.integers(0, 99),
)
def test_images_of_any_size_in_any_number_do_not_disturb_each_other(
    sizes: list[tuple[int, int]], seed: int
) -> None:
    pack = find_pack("miniature", Path("unused"), {"miniature": SHIPPED})
    reader = InsightFaceReader(pack)
    rng = np.random.default_rng(seed)
    noise = [rng.integers(0, 255, (height, width, 3), np.uint8) for height, width in sizes]
    [wanted] = drawn(1)
    [[alone]] = reader.read([wanted])
    beside = reader.read([*noise, wanted])[-1]
    np.testing.assert_allclose(beside[0].embedding, alone.embedding, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (2, 700), (3, 5)])
def test_a_sliver_has_no_face(miniature_reader: InsightFaceReader, shape: tuple[int, int]) -> None:
    sliver = np.full((*shape, 3), 120, np.uint8)
    assert miniature_reader.read([sliver]) == [[]]
    assert miniature_reader.read([sliver, *drawn(1)])[0] == []


@pytest.mark.parametrize("pack_name", ["mobile_test", "mobile_apache"])
def test_real_packs_and_photographs_too(pack_name: str) -> None:
    import cv2
    import insightface
    from skimage import data

    pack = find_pack(str(shared("face_pack") / pack_name), Path("unused"), {})
    group = cv2.imread(str(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"))[
        ..., ::-1
    ]
    images = [
        np.ascontiguousarray(group),
        data.astronaut(),
        data.astronaut()[:, ::-1].copy(),
        np.zeros_like(group),
    ]
    ours = InsightFaceReader(pack).read(images)
    assert [len(faces) for faces in ours] == [6, 1, 1, 0]
    assert largest_gap(ours, plain_loop(pack, images)) <= 1e-4
    astronaut, mirrored = ours[1][0], ours[2][0]
    assert astronaut.embedding @ mirrored.embedding > 0.6
    assert abs(astronaut.yaw + mirrored.yaw) < 8  # she looks at us, and so does her mirror image
    assert abs(astronaut.roll + mirrored.roll) < 8
    assert all(astronaut.embedding @ face.embedding < 0.5 for face in ours[0])


def test_every_vector_says_which_networks_made_it(miniature_reader: InsightFaceReader) -> None:
    version = miniature_reader.version
    assert (version.name, len(version.sha256), version.dimension) == ("miniature", 64, 128)
    assert version.version
    [[face]] = miniature_reader.read(drawn(1))
    assert np.linalg.norm(face.embedding) == pytest.approx(1.0, abs=1e-5)
    assert face.norm > 1.5


def test_the_largest_face_comes_first(miniature_reader: InsightFaceReader) -> None:
    from PIL import Image

    large, small = drawn(2, first=5)
    canvas = np.full((large.shape[0], large.shape[1] * 2, 3), 128, np.uint8)
    shrunk = np.asarray(
        Image.fromarray(small).resize((small.shape[1] * 3 // 4, small.shape[0] * 3 // 4))
    )
    canvas[: shrunk.shape[0], : shrunk.shape[1]] = shrunk
    canvas[:, large.shape[1] :] = large
    faces = miniature_reader.read([canvas])[0]
    assert len(faces) == 2
    assert faces[0].eye_distance_px > faces[1].eye_distance_px
    assert faces[0].box[0] > faces[1].box[0]


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (30, 0, 0), (-25, 0, 10), (0, 20, 0), (10, -15, -20)]
)
def test_pose_is_in_degrees(yaw: float, pitch: float, roll: float) -> None:
    # A head of five points turned in space and seen from far away.
    head = np.array([[-31, -20, 0], [31, -20, 0], [0, 17, 30], [-24, 45, 5], [24, 45, 5]], float)
    turn, nod, tilt = (math.radians(angle) for angle in (yaw, -pitch, roll))
    about_y = np.array(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(nod), -math.sin(nod)], [0, math.sin(nod), math.cos(nod)]]
    )
    about_z = np.array(
        [[math.cos(tilt), -math.sin(tilt), 0], [math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]]
    )
    seen = (head @ about_x.T @ about_y.T @ about_z.T)[:, :2] + 100
    [found] = head_poses(seen[None].astype(np.float32))
    np.testing.assert_allclose(found, [yaw, pitch, roll], atol=12)


GOOD = Face(
    box=(0, 0, 80, 100),
    landmarks=np.array([[20, 40], [60, 40], [40, 60], [25, 80], [55, 80]], np.float32),
    detector_score=0.9,
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    sharpness=50.0,
    brightness=120.0,
    clipped=0.0,
    embedding=unit(np.ones(8)),
    norm=20.0,
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"detector_score": 0.3}, Why.UNSURE),
        ({"landmarks": GOOD.landmarks / 5}, Why.TOO_SMALL),
        ({"yaw": -55.0}, Why.TURNED),
        ({"pitch": 50.0}, Why.TILTED),
        ({"sharpness": 1.0}, Why.BLURRED),
        ({"brightness": 5.0}, Why.LIGHT),
        ({"brightness": 250.0}, Why.LIGHT),
        ({"clipped": 0.9}, Why.LIGHT),
        ({"norm": 3.0}, Why.COVERED),
    ],
)
def test_each_quality_has_its_own_objection(change: dict[str, object], why: Why | None) -> None:
    from dataclasses import replace

    objection = QualityBar(min_norm=5.0).objection(replace(GOOD, **change))
    assert (objection.why if objection else None) == why


def test_everyone_in_the_world_is_found_in_every_photo(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack
) -> None:
    from scanner.miniature.world import load_world

    people = load_world().registered
    images = [
        draw_photo(person_of(person.seed), number).pixels
        for person in people
        for number in range(4)
    ]
    faces = miniature_reader.read(images)
    found = sum(len(one) == 1 and miniature_pack.bar.objection(one[0]) is None for one in faces)
    assert found >= 0.95 * len(images)


def test_a_licence_must_cover_the_use() -> None:
    pack = find_pack(str(shared("face_pack") / "mobile_test"), Path("unused"), {})
    assert "non-commercial" in pack.licence
    for use in ("commercial", None):
        with pytest.raises(PackNotLicensed, match="--use research"):
            pack.must_allow(use)
    pack.must_allow("research")


def test_a_folder_that_is_no_pack_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"not a network")
    with pytest.raises(PackUnusable, match="not a face pack"):
        InsightFaceReader(find_pack(str(tmp_path), tmp_path, {}))
    with pytest.raises(PackMissing, match="neither a folder nor a known face pack"):
        find_pack("nothing", tmp_path, {})
