"""Photos on their side, faces too small or too large for the detector, and refused copies."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_index.faces.face import Face, Vector, unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.faces.photos import PhotoFile
from face_index.faces.refusals import Why
from face_index.faces.second_look import TurnedFace, sideways_photos
from face_index.registration.enrolment import make_template
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from scanner.miniature.albums import draw_photos
from tests.conftest import shared


def png(pixels: np.ndarray, name: str) -> PhotoFile:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, "PNG")
    return PhotoFile(name, data.getvalue())


def report_of(
    reader: InsightFaceReader, pack: FacePack, photos: list[PhotoFile] | list[Path]
) -> EnrolmentReport:
    try:
        return make_template(reader, pack.bar, photos).report
    except EnrolmentRefused as refused:
        return refused.report


class TestRealPhotographs:
    @pytest.fixture(scope="class")
    def pack(self) -> FacePack:
        return find_pack(str(shared("face_pack/mobile_test")), Path("unused"), {})

    @pytest.fixture(scope="class")
    def reader(self, pack: FacePack) -> InsightFaceReader:
        return InsightFaceReader(pack)

    @pytest.fixture(scope="class")
    def portraits(self) -> list[np.ndarray]:
        """One photograph of a person (NASA, public domain) as four: cropped, darker, mirrored."""
        from skimage import data

        whole = data.astronaut()
        return [
            whole[:, 60:420],
            (whole[20:400, 40:400] * 0.6).astype(np.uint8),
            whole[:300, 330:120:-1],
            whole[:230, 100:360],
        ]

    @pytest.mark.parametrize(("quarters", "degrees"), [(1, 90), (2, 180), (3, 270)])
    def test_a_photo_on_its_side_says_how_to_turn_it(
        self,
        reader: InsightFaceReader,
        pack: FacePack,
        portraits: list[np.ndarray],
        quarters: int,
        degrees: int,
    ) -> None:
        photos = [png(one, f"{number}.png") for number, one in enumerate(portraits)]
        report = report_of(
            reader, pack, [*photos[:3], png(np.rot90(portraits[3], quarters), "side.png")]
        )
        whys = [verdict.refusal and verdict.refusal.why for verdict in report.photos]
        assert whys == [None, None, None, Why.SIDEWAYS]
        refusal = report.photos[3].refusal
        assert refusal is not None
        assert f"turn it clockwise by {degrees} degrees" in refusal.text()
        assert f"顺时针旋转 {degrees} 度" in refusal.text("zh-CN")

    @pytest.mark.parametrize("quarters", [1, 2, 3])
    def test_nobody_is_enrolled_from_photos_that_all_lie_sideways_photos(
        self, reader: InsightFaceReader, pack: FacePack, portraits: list[np.ndarray], quarters: int
    ) -> None:
        photos = [
            png(np.rot90(one, quarters), f"{number}.png") for number, one in enumerate(portraits)
        ]
        report = report_of(reader, pack, photos)
        assert [verdict.refusal and verdict.refusal.why for verdict in report.photos] == [
            Why.SIDEWAYS
        ] * 4

    def test_upright_photos_are_left_alone(
        self, reader: InsightFaceReader, pack: FacePack, portraits: list[np.ndarray]
    ) -> None:
        report = report_of(
            reader, pack, [png(one, f"{number}.png") for number, one in enumerate(portraits)]
        )
        assert [verdict.refusal for verdict in report.photos] == [None] * 4

    def test_a_large_face_in_a_huge_photo_is_found(
        self, reader: InsightFaceReader, pack: FacePack, portraits: list[np.ndarray]
    ) -> None:
        huge = np.full((6000, 8000, 3), 120, np.uint8)
        huge[2000:2512, 3000:3360] = portraits[0]
        photos = [png(one, f"{number}.png") for number, one in enumerate(portraits[1:])]
        report = report_of(reader, pack, [*photos, png(huge, "huge.png")])
        assert [verdict.refusal for verdict in report.photos] == [None] * 4


def test_copies_of_a_refused_photo_are_refused_for_its_reason(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    [stranger] = draw_photos(903, 1, tmp_path / "other")
    copy = tmp_path / "other" / "copy.jpg"
    Image.open(stranger).save(copy, quality=95)
    photos = [*draw_photos(900, 5, tmp_path), stranger, copy]
    report = report_of(miniature_reader, miniature_pack, photos)
    assert [verdict.refusal and verdict.refusal.why for verdict in report.photos[5:]] == [
        Why.SOMEONE_ELSE
    ] * 2
    twice = shutil.copy(photos[0], tmp_path / "again.png")
    report = report_of(miniature_reader, miniature_pack, [*photos[:5], Path(twice)])
    assert [verdict.refusal and verdict.refusal.why for verdict in report.photos].count(
        Why.DUPLICATE
    ) == 1


def face(vector: Vector) -> Face:
    return Face(
        (0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9, 0, 0, 0, 99.0, 99.0, 0, vector, 9.0
    )


class TestOnTheirSide:
    RNG = np.random.default_rng(0)
    PERSON = unit(RNG.normal(size=64))

    def near(self, share: float = 0.5) -> Face:
        return face(unit(self.PERSON + share * unit(self.RNG.normal(size=64))))

    def other(self) -> Face:
        return face(unit(self.RNG.normal(size=64)))

    def test_a_surer_face_that_is_somebody_else_says_nothing(self) -> None:
        faces = {0: self.near(), 1: self.near(), 2: self.near()}
        assert sideways_photos({2: TurnedFace(90, self.other())}, faces, [0, 1, 2], 0.4) == []
        assert sideways_photos(
            {2: TurnedFace(90, self.near())}, {**faces, 2: self.other()}, [0, 1, 2], 0.4
        ) == [2]

    def test_where_none_is_surely_upright_what_agrees_better_counts(self) -> None:
        right = {number: self.near() for number in range(3)}
        wrong = {number: self.other() for number in range(3)}
        turned = {number: TurnedFace(180, one) for number, one in right.items()}
        assert sideways_photos(turned, wrong, [0, 1, 2], 0.4) == [0, 1, 2]
        assert (
            sideways_photos(
                {n: TurnedFace(180, one) for n, one in wrong.items()}, right, [0, 1, 2], 0.4
            )
            == []
        )
        assert sideways_photos(turned, {}, [], 0.4) == [0, 1, 2]
        assert sideways_photos({}, right, [0, 1, 2], 0.4) == []
