"""Enrolment with the real InsightFace on drawn photos: what is taken, what is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_index.enrolment import make_template, open_photo, photos_in
from face_index.errors import EnrolmentRefused, PackMissing, PackNotLicensed, PackUnusable
from face_index.insight import InsightFaceReader
from face_index.packs import FacePack, find_pack
from scanner.miniature.demo import draw_photos
from scanner.miniature.world import load_world
from tests.conftest import shared


def reasons(error: EnrolmentRefused) -> list[str | None]:
    return [verdict.reason for verdict in error.report.photos]


def test_photos_of_one_person_make_a_template(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    template = make_template(miniature_reader, miniature_pack.bar, draw_photos(900, 6, tmp_path))
    assert template.report.accepted >= 5
    assert np.linalg.norm(template.vector) == pytest.approx(1.0, abs=1e-5)
    again = make_template(miniature_reader, miniature_pack.bar, draw_photos(900, 6, tmp_path / "more", first=50))
    other = make_template(miniature_reader, miniature_pack.bar, draw_photos(901, 6, tmp_path / "other"))
    assert template.vector @ again.vector > 0.8
    assert template.vector @ other.vector < 0.6


def test_a_photo_of_someone_else_is_found_out(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = [*draw_photos(900, 5, tmp_path), *draw_photos(903, 1, tmp_path / "other")]
    report = make_template(miniature_reader, miniature_pack.bar, photos).report
    assert "same person" in str(report.photos[-1].reason)
    assert report.accepted >= 4


def test_every_refusal_says_why(miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path) -> None:
    [good] = draw_photos(900, 1, tmp_path)
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "empty.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    twice = np.hstack([open_photo(good), open_photo(*draw_photos(903, 1, tmp_path / "b"))])
    Image.fromarray(twice).save(tmp_path / "two.png")
    photos = [good, tmp_path / "empty.png", tmp_path / "broken.jpg", tmp_path / "two.png"]
    with pytest.raises(EnrolmentRefused, match="3 are needed") as caught:
        make_template(miniature_reader, miniature_pack.bar, photos)
    first, empty, broken, two = reasons(caught.value)
    assert first is None
    assert "no face" in str(empty)
    assert "not a readable image" in str(broken)
    assert "2 faces" in str(two)


def test_only_pictures_are_taken_from_a_folder(tmp_path: Path) -> None:
    draw_photos(1, 2, tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert len(photos_in([tmp_path])) == 2


def test_everyone_in_the_world_is_found_in_every_photo(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    found = 0
    people = load_world().registered
    for person in people:
        faces = miniature_reader.read([open_photo(path) for path in draw_photos(person.seed, 4, tmp_path)])
        found += sum(len(one) == 1 and miniature_pack.bar.objection(one[0]) is None for one in faces)
    assert found >= 0.95 * 4 * len(people)


@pytest.mark.parametrize("pack", ["mobile_test", "mobile_apache"])
def test_the_real_path_reads_real_photographs(pack: str) -> None:
    import insightface
    from skimage import data

    reader = InsightFaceReader(find_pack(str(shared("face_pack") / pack), Path("unused"), {}))
    group = open_photo(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg")
    faces, [astronaut, *_] = reader.read([group, data.astronaut()])
    assert len(faces) == 6
    [again, *_] = reader.read([data.astronaut()[:, ::-1].copy()])[0]
    assert astronaut.embedding @ again.embedding > 0.6
    assert all(astronaut.embedding @ face.embedding < 0.5 for face in faces)


def test_the_real_path_enrols_from_real_photographs(tmp_path: Path) -> None:
    from skimage import data

    pack = find_pack(str(shared("face_pack") / "mobile_test"), Path("unused"), {})
    picture = Image.fromarray(data.astronaut())
    for number, (turn, size) in enumerate([(0, 512), (4, 480), (-4, 440), (2, 400)]):
        picture.rotate(turn).resize((size, size)).save(tmp_path / f"{number}.jpg")
    template = make_template(InsightFaceReader(pack), pack.bar, photos_in([tmp_path]))
    assert template.report.accepted == 4
    assert "non-commercial" in pack.licence
    with pytest.raises(PackNotLicensed, match="--use research"):
        pack.must_allow("commercial")
    with pytest.raises(PackNotLicensed):
        pack.must_allow(None)
    pack.must_allow("research")


def test_a_folder_that_is_no_pack_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"not a network")
    with pytest.raises(PackUnusable, match="not a face pack"):
        InsightFaceReader(find_pack(str(tmp_path), tmp_path, {}))
    with pytest.raises(PackMissing, match="neither a folder nor a known face pack"):
        find_pack("nothing", tmp_path, {})
