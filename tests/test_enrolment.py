"""Templates from drawn photos with the real InsightFace: accepted and refused photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_index.faces.face import Face, unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.faces.photos import open_photo, photos_in
from face_index.faces.refusals import Why
from face_index.gallery.templates import appearances_in, make_prototypes, plain_mean
from face_index.registration.enrolment import make_template, template_of_kept
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from scanner.miniature.albums import draw_photos
from tests.conftest import prototypes_of, shared
from tests.test_faces import GOOD


def whys(report: EnrolmentReport) -> list[Why | None]:
    return [verdict.refusal.why if verdict.refusal else None for verdict in report.photos]


def two_people(folder: Path, name: str, left: int, right: int) -> Path:
    pictures = [
        open_photo(*draw_photos(seed, 1, folder / str(seed))).pixels for seed in (left, right)
    ]
    path = folder / name
    Image.fromarray(np.hstack(pictures)).save(path)
    return path


def test_photos_of_one_person_make_a_template(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    template = make_template(miniature_reader, miniature_pack.bar, draw_photos(900, 6, tmp_path))
    assert template.report.accepted >= 5
    assert len(template.photos) == template.report.accepted
    assert template.prototypes.shape == (1, 128)
    again = make_template(
        miniature_reader, miniature_pack.bar, draw_photos(900, 6, tmp_path / "more", first=50)
    )
    other = make_template(
        miniature_reader, miniature_pack.bar, draw_photos(901, 6, tmp_path / "other")
    )
    assert (template.prototypes @ again.prototypes.T).max() > 0.8
    assert (template.prototypes @ other.prototypes.T).max() < 0.6


def test_every_photo_is_measured(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    report = make_template(
        miniature_reader, miniature_pack.bar, draw_photos(900, 4, tmp_path)
    ).report
    for verdict in report.photos:
        document = verdict.to_document("zh-CN")
        assert set(document["quality"]) == {
            "detector_score",
            "eye_distance_px",
            "yaw",
            "pitch",
            "roll",
            "sharpness",
            "brightness",
            "clipped",
            "norm",
        }


def test_a_photo_of_someone_else_is_found_out(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = [*draw_photos(900, 5, tmp_path), *draw_photos(903, 1, tmp_path / "other")]
    report = make_template(miniature_reader, miniature_pack.bar, photos).report
    assert whys(report)[-1] == Why.SOMEONE_ELSE
    assert report.accepted >= 4


def test_the_same_photo_twice_counts_once(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = draw_photos(900, 4, tmp_path)
    copy = tmp_path / "again.jpg"
    Image.open(photos[0]).save(copy, quality=70)
    report = make_template(miniature_reader, miniature_pack.bar, [*photos, copy]).report
    assert whys(report).count(Why.DUPLICATE) == 1
    assert report.accepted == 4
    with pytest.raises(EnrolmentRefused, match="same picture as"):
        make_template(miniature_reader, miniature_pack.bar, [photos[0], copy, photos[1]])


def test_another_pack_takes_the_face_that_was_picked_not_the_largest(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    alone = draw_photos(900, 3, tmp_path / "900", first=10)
    small, large = (
        Image.open(draw_photos(seed, 1, tmp_path / str(seed), first=40)[0]) for seed in (900, 903)
    )
    side = int(large.width * 1.4)
    together = Image.new("RGB", (side + small.width, side))
    together.paste(large.resize((side, side)), (0, 0))
    together.paste(small, (side, 0))
    together.save(tmp_path / "together.png")
    data = (tmp_path / "together.png").read_bytes()
    faces = miniature_reader.read([open_photo(tmp_path / "together.png").pixels])[0]
    expected = make_template(miniature_reader, miniature_pack.bar, alone).prototypes[0]
    assert (
        faces[0].embedding @ expected < 0.5 < faces[1].embedding @ expected
    )  # the stranger comes first
    made = template_of_kept(miniature_reader, [*(path.read_bytes() for path in alone), data])
    assert made is not None
    assert len(made) == 1
    assert made[0] @ expected > 0.95
    stranger = draw_photos(903, 1, tmp_path / "903", first=50)[
        0
    ].read_bytes()  # all that this pack sees of a crowd
    again = template_of_kept(miniature_reader, [*(path.read_bytes() for path in alone), stranger])
    assert again is not None
    assert again[0] @ expected > 0.95
    for unsure in ([data], [stranger], [data, stranger]):
        assert template_of_kept(miniature_reader, unsure) is None


def test_of_two_faces_the_one_that_the_other_photos_show_is_taken(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = [
        *draw_photos(900, 3, tmp_path / "900", first=10),
        two_people(tmp_path, "two.png", 903, 900),
    ]
    report = make_template(miniature_reader, miniature_pack.bar, photos).report
    choice = report.photos[-1].choice
    assert choice is not None
    assert choice.count == 2
    assert choice.left > 50  # the right half of the picture, in percent
    assert f"face {choice.number} of 2, at x={choice.left}%" in choice.text()
    assert f"2 张人脸中的第 {choice.number} 张" in choice.text("zh-CN")
    document = report.photos[-1].to_document()
    assert document["face"]["number"] == choice.number
    assert [verdict.choice.text() for verdict in report.photos[:3] if verdict.choice] == [""] * 3


def test_a_pick_counts_and_a_wrong_one_is_refused(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = [
        *draw_photos(900, 3, tmp_path / "900", first=10),
        two_people(tmp_path, "two.png", 903, 900),
    ]

    def report_of(**picks: int) -> EnrolmentReport:
        given = {f"{name}.png": number for name, number in picks.items()}
        try:
            return make_template(miniature_reader, miniature_pack.bar, photos, picks=given).report
        except EnrolmentRefused as error:
            return error.report

    choice = report_of().photos[-1].choice
    assert choice is not None
    assert whys(report_of(two=choice.number))[-1] is None
    lost = [Why.PICK_LOST] * 3  # nobody else is enrolled instead
    assert whys(report_of(two=3 - choice.number)) == [*lost, Why.SOMEONE_ELSE]
    assert whys(report_of(two=5)) == [*lost, Why.NO_SUCH_FACE]


def test_of_two_people_in_every_photo_somebody_must_say_who_is_meant(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    photos = []
    for number in range(4):
        pictures = [
            open_photo(*draw_photos(seed, 1, tmp_path / f"{seed}", first=number)).pixels
            for seed in (900, 903)
        ]
        photos.append(tmp_path / f"both {number}.png")
        Image.fromarray(np.hstack(pictures[:: 1 if number % 2 else -1])).save(photos[-1])
    with pytest.raises(EnrolmentRefused) as caught:
        make_template(miniature_reader, miniature_pack.bar, photos)
    assert whys(caught.value.report) == [Why.SEVERAL_FACES] * 4
    assert "--pick both 0.png=NUMBER" in str(caught.value)
    alone = make_template(
        miniature_reader, miniature_pack.bar, draw_photos(903, 4, tmp_path / "alone", first=20)
    )
    for number in (1, 2):
        picks = {"both 0.png": number}
        made = make_template(miniature_reader, miniature_pack.bar, photos, picks=picks)
        assert made.report.accepted == 4
        is_second = float(made.prototypes[0] @ alone.prototypes[0]) > 0.7
        choice = made.report.photos[0].choice
        assert choice is not None
        assert is_second == (choice.left < 50)  # in the first picture the second person is left


def test_every_refusal_says_why(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    [good] = draw_photos(900, 1, tmp_path)
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "empty.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    [another] = draw_photos(900, 1, tmp_path / "s", first=30)
    Image.fromarray(open_photo(another).pixels).resize((28, 28)).save(tmp_path / "small.png")
    dark = (open_photo(*draw_photos(900, 1, tmp_path / "d", first=7)).pixels * 0.04).astype(
        np.uint8
    )
    Image.fromarray(dark).save(tmp_path / "dark.png")
    names = ["empty.png", "broken.jpg", "small.png", "dark.png"]
    with pytest.raises(
        EnrolmentRefused, match="1 usable photos, 3 are needed: add 2 more"
    ) as caught:
        make_template(
            miniature_reader, miniature_pack.bar, [good, *(tmp_path / name for name in names)]
        )
    first, empty, broken, small, dark_why = whys(caught.value.report)
    assert (first, empty, broken) == (None, Why.NO_FACE, Why.NOT_AN_IMAGE)
    assert small in (Why.TOO_SMALL, Why.NO_FACE)
    assert dark_why in (Why.LIGHT, Why.NO_FACE, Why.BLURRED)


def test_a_real_pack_enrols_from_real_photographs(tmp_path: Path) -> None:
    from skimage import data

    pack = find_pack(str(shared("face_pack") / "mobile_test"), Path("unused"), {})
    picture = Image.fromarray(data.astronaut())
    for number, (turn, left) in enumerate([(0, 0), (7, 60), (-8, 0), (4, 90)]):
        picture.rotate(turn).crop((left, 0, left + 400, 400)).save(tmp_path / f"{number}.jpg")
    template = make_template(InsightFaceReader(pack), pack.bar, photos_in([tmp_path]))
    assert template.report.accepted == 4


def faces_around(seed: int, count: int, spread: float, norm: float = 20.0) -> list[Face]:
    from dataclasses import replace

    rng = np.random.default_rng(seed + 1000)
    centre = prototypes_of(seed)[0]
    return [
        replace(GOOD, embedding=unit(centre + spread * unit(rng.normal(size=128))), norm=norm)
        for _ in range(count)
    ]


class TestPrototypes:
    def test_one_look_makes_one_prototype(self) -> None:
        made = make_prototypes(faces_around(1, 8, 0.5))
        assert made.shape == (1, 128)
        assert made[0] @ prototypes_of(1)[0] > 0.95

    def test_two_looks_are_kept_apart_and_together(self) -> None:
        faces = faces_around(1, 4, 0.4) + faces_around(2, 3, 0.4)
        made = make_prototypes(faces)
        assert len(made) == 3
        for seed in (1, 2):
            assert (
                (made @ prototypes_of(seed)[0]).max()
                > 0.95
                > (plain_mean(faces) @ prototypes_of(seed)[0]).max()
            )
        both = unit(prototypes_of(1)[0] + prototypes_of(2)[0])
        assert (made @ both).argmax() == 0
        assert made[0] @ both > 0.8

    def test_a_single_odd_photo_is_no_look(self) -> None:
        assert len(make_prototypes(faces_around(1, 6, 0.4) + faces_around(2, 1, 0.1))) == 1

    def test_photos_in_which_little_was_seen_weigh_less(self) -> None:
        good, poor = faces_around(1, 2, 0.3, norm=20.0), faces_around(2, 2, 0.3, norm=2.0)
        [weighted] = make_prototypes([*good, *poor])
        [plain] = plain_mean([*good, *poor])
        assert weighted @ prototypes_of(1)[0] > plain @ prototypes_of(1)[0]

    def test_photos_that_disagree_weigh_less(self) -> None:
        faces = faces_around(1, 5, 0.3) + faces_around(2, 1, 0.0)
        assert (
            make_prototypes(faces)[0] @ prototypes_of(1)[0]
            > plain_mean(faces)[0] @ prototypes_of(1)[0]
        )

    def test_one_photo_is_enough_to_be_a_template(self) -> None:
        [only] = faces_around(1, 1, 0.3)
        np.testing.assert_allclose(make_prototypes([only])[0], only.embedding, atol=1e-6)
        assert len(appearances_in(np.stack([only.embedding]).astype(float))) == 1
