"""Photos on their side, faces too small or too large for the detector, and refused copies."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.faces.photos import PhotoFile
from face_index.faces.refusals import Why
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
    def test_a_photo_on_its_side_is_turned_and_that_is_said(
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
        assert [verdict.refusal for verdict in report.photos] == [None] * 4
        choices = [verdict.choice for verdict in report.photos]
        assert [choice and choice.degrees for choice in choices] == [0, 0, 0, degrees]
        assert choices[3] is not None
        assert choices[3].text() == f"turned by {degrees} degrees"
        assert choices[3].text("zh-CN") == f"已旋转 {degrees} 度"

    @pytest.mark.parametrize("quarters", [1, 2, 3])
    def test_photos_that_all_lie_on_their_side_make_the_template_of_upright_ones(
        self, reader: InsightFaceReader, pack: FacePack, portraits: list[np.ndarray], quarters: int
    ) -> None:
        photos, turned = (
            [png(np.rot90(one, times), f"{number}.png") for number, one in enumerate(portraits)]
            for times in (0, quarters)
        )
        upright = make_template(reader, pack.bar, photos)
        template = make_template(reader, pack.bar, turned)
        assert template.report.accepted == 4
        assert float(template.prototypes[0] @ upright.prototypes[0]) > 0.95

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


class TestFalseFaces:
    """Upside-down photos of different people, in which the detector finds faces that are alike."""

    @pytest.fixture(scope="class")
    def strangers(self) -> list[np.ndarray]:
        """The six people of InsightFace's own test picture, each alone."""
        import insightface

        path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
        picture = np.asarray(Image.open(path).convert("RGB"))
        pack = find_pack(str(shared("face_pack/mobile_test")), Path("unused"), {})
        [faces] = InsightFaceReader(pack).read([picture])
        crops = []
        for face in faces[:6]:
            left, top, right, bottom = (round(side) for side in face.box)
            pad = round(0.5 * (right - left))
            crop = picture[max(top - pad, 0) : bottom + pad, max(left - pad, 0) : right + pad]
            crops.append(np.asarray(Image.fromarray(crop).resize((300, 360))))
        return crops

    @pytest.mark.parametrize("degrees", [45, 90, 150, 180])
    def test_turned_strangers_are_never_one_person(
        self, strangers: list[np.ndarray], degrees: int
    ) -> None:
        pack = find_pack(str(shared("face_pack/mobile_test")), Path("unused"), {})
        reader = InsightFaceReader(pack)
        photos = [
            png(np.asarray(Image.fromarray(one).rotate(degrees, expand=True)), f"{number}.png")
            for number, one in enumerate(strangers)
        ]
        assert report_of(reader, pack, photos).accepted < 3
