"""Enrolments with photos of several people, and ambiguous picks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_index.errors import PickRefused
from face_index.faces.insight import InsightFaceReader
from face_index.faces.packs import FacePack
from face_index.faces.photos import PhotoFile, open_photo
from face_index.faces.refusals import LANGUAGES, Why
from face_index.gallery.calibration_file import load_calibration
from face_index.registration.enrolment import make_template, template_of_kept
from face_index.registration.grouping import alike_from, groups_of
from face_index.registration.manifest import read_manifest, register_all
from face_index.registration.photo_names import labels_of, picked_numbers
from face_index.registration.registration import Registrar
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from face_index.vault import Vault
from scanner.miniature.albums import FREE_SEEDS, draw_photos
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from tests.conftest import NOON
from tests.test_enrolment import whys

SPLITS = [(3, 3), (4, 2), (2, 4), (5, 3), (2, 2), (2, 2, 2), (3, 3, 1)]


def mixed(folder: Path, split: tuple[int, ...], first_seed: int) -> list[Path]:
    """Photos of several people, in turns, as they come out of one folder."""
    each = [
        draw_photos(first_seed + number, count, folder / str(number))
        for number, count in enumerate(split)
    ]
    return [album[turn] for turn in range(max(split)) for album in each if turn < len(album)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("first_seed", [900, FREE_SEEDS[40]])
def test_photos_of_several_people_are_questioned_all_of_them(
    miniature_reader: InsightFaceReader,
    miniature_pack: FacePack,
    tmp_path: Path,
    split: tuple[int, ...],
    first_seed: int,
) -> None:
    photos = mixed(tmp_path, split, first_seed)
    with pytest.raises(EnrolmentRefused, match=r"photos of [23] people") as caught:
        make_template(miniature_reader, miniature_pack.bar, photos)
    report = caught.value.report
    assert report.accepted == 0
    groups = [set(group) for group in report.people]
    for number, count in enumerate(split):
        names = {path.name for path in photos if path.parent.name == str(number)}
        assert (names in groups) == (count > 1)
    for verdict in report.photos:
        assert verdict.refusal is not None
        assert all(verdict.refusal.text(language) for language in LANGUAGES)
    assert "add 3 more" not in str(caught.value)


def test_one_stray_photo_among_many_is_still_refused_alone(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    for strays in ([903], [903, 905]):
        photos = draw_photos(900, 5, tmp_path)
        photos += [draw_photos(seed, 1, tmp_path / str(seed))[0] for seed in strays]
        report = make_template(miniature_reader, miniature_pack.bar, photos).report
        assert report.people == ()
        assert whys(report) == [None] * 5 + [Why.SOMEONE_ELSE] * len(strays)


@pytest.mark.parametrize("seed", [900, 904, 907])
def test_one_person_with_and_without_glasses_is_one_person(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path, seed: int
) -> None:
    person = person_of(seed)
    other = replace(person, glasses="square" if person.glasses == "none" else "none")
    photos = []
    for number in range(6):
        photos.append(tmp_path / f"{number}.png")
        pixels = draw_photo(other if number % 2 else person, number).pixels
        Image.fromarray(pixels).save(photos[-1])
    assert make_template(miniature_reader, miniature_pack.bar, photos).report.accepted == 6


def test_another_pack_makes_no_template_of_kept_photos_of_two_people(
    miniature_reader: InsightFaceReader, tmp_path: Path
) -> None:
    kept = [path.read_bytes() for path in mixed(tmp_path, (3, 3), 900)]
    assert template_of_kept(miniature_reader, kept) is None


def test_a_list_says_which_photos_show_whom(
    vault: Vault, miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    mixed(tmp_path / "photos", (3, 3), 900)
    listed = tmp_path / "people.csv"
    listed.write_text("name,photos\nBoth,photos/0;photos/1\n", "utf-8")
    registrar = Registrar(vault, miniature_reader, miniature_pack.bar, None)
    entries = read_manifest(listed, "sam", NOON.date())
    [result] = register_all(vault, registrar, entries, tmp_path / "report.jsonl", lambda: NOON)
    assert result.status == "refused"
    assert "photos of 2 people" in (result.reason or "")
    assert "900-0000.png" in (result.reason or "")
    assert vault.people.count() == 0


def test_every_file_of_a_list_has_its_reason_also_where_two_have_one_name(
    vault: Vault, miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
) -> None:
    for folder, colour in (("one", "grey"), ("two", "white")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 64), colour).save(tmp_path / folder / "IMG_0001.png")
    with (tmp_path / "people.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["name", "photos"], ["Somebody", "one;two"]])
    registrar = Registrar(vault, miniature_reader, miniature_pack.bar, None)
    entries = read_manifest(tmp_path / "people.csv", "sam", NOON.date())
    [result] = register_all(vault, registrar, entries, tmp_path / "r.jsonl", lambda: NOON)
    assert set(result.photos) == {"one/IMG_0001.png", "two/IMG_0001.png"}


class TestWhatAreAlike:
    def test_it_follows_the_calibration(self, miniature_pack: FacePack) -> None:
        path = miniature_pack.folder / "calibration.json"
        import json

        calibration = load_calibration(path, json.loads(path.read_text())["pack_sha256"])
        assert calibration is not None
        assert 0.3 < alike_from(calibration) < 0.6
        assert calibration.tail.false_match_rate(alike_from(calibration)) == pytest.approx(
            3e-3, rel=0.05
        )
        assert alike_from(None) == 0.29

    @settings(max_examples=60, deadline=None)
    @given(
        sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
        order=st.randoms(use_true_random=False),
    )
    def test_every_photo_is_in_one_group_and_people_apart(
        self, sizes: list[int], order: object
    ) -> None:
        rng = np.random.default_rng(7)
        owner = [person for person, size in enumerate(sizes) for _ in range(size)]
        order.shuffle(owner)  # type: ignore[attr-defined]
        vectors = np.stack([np.eye(16)[one] + rng.normal(scale=0.05, size=16) for one in owner])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        groups = groups_of(vectors, 0.4)
        assert sorted(row for group in groups for row in group) == list(range(len(owner)))
        assert sorted(map(len, groups)) == sorted(sizes)
        assert all(len({owner[row] for row in group}) == 1 for group in groups)


class TestPicks:
    @pytest.fixture
    def twice(self, tmp_path: Path) -> list[Path]:
        paths = [
            tmp_path / "one" / "IMG_0001.jpg",
            tmp_path / "two" / "IMG_0001.jpg",
            tmp_path / "b.jpg",
        ]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return paths

    def test_a_name_that_two_files_have_is_refused_and_says_how_to_tell_them_apart(
        self, twice: list[Path]
    ) -> None:
        with pytest.raises(PickRefused, match=r"one/IMG_0001\.jpg.*two/IMG_0001\.jpg"):
            picked_numbers({"IMG_0001.jpg": 1}, twice)

    def test_a_path_tells_them_apart(
        self, twice: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(twice[0].parent.parent)
        for name in (
            "two/IMG_0001.jpg",
            "./two/IMG_0001.jpg",
            "one/../two/IMG_0001.jpg",
            str(twice[1]),
        ):
            assert picked_numbers({name: 2}, twice) == {1: 2}
        assert picked_numbers({"b.jpg": 1, "one/IMG_0001.jpg": 2}, twice) == {2: 1, 0: 2}

    def test_a_file_in_this_folder_is_named_with_a_dot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        paths = [Path("a.jpg"), Path("sub/a.jpg")]
        with pytest.raises(PickRefused, match=r"2 photos are called a\.jpg"):
            picked_numbers({"a.jpg": 1}, paths)
        assert picked_numbers({"./a.jpg": 1}, paths) == {0: 1}
        assert picked_numbers({"sub/a.jpg": 1}, paths) == {1: 1}

    def test_a_path_that_still_fits_two_is_refused(self, tmp_path: Path) -> None:
        paths = [tmp_path / "x/day/a.jpg", tmp_path / "y/day/a.jpg"]
        with pytest.raises(PickRefused, match=r"x/day/a\.jpg"):
            picked_numbers({"day/a.jpg": 1}, paths)

    def test_the_same_file_given_twice_is_one(self, twice: list[Path]) -> None:
        assert picked_numbers({"b.jpg": 1}, [*twice, twice[2]]) == {2: 1, 3: 1}

    def test_a_name_of_no_photo_and_two_picks_of_one_are_refused(self, twice: list[Path]) -> None:
        with pytest.raises(PickRefused, match=r"no photo is called c\.jpg"):
            picked_numbers({"c.jpg": 1}, twice)
        with pytest.raises(PickRefused, match=r"b\.jpg is picked twice"):
            picked_numbers({"b.jpg": 1, str(twice[2]): 2}, twice)

    def test_an_accent_may_be_written_either_way(self, tmp_path: Path) -> None:
        assert picked_numbers({"José.jpg": 1}, [tmp_path / "José.jpg"]) == {0: 1}

    def test_photos_in_memory_with_one_name_are_counted(self) -> None:
        photos = [
            PhotoFile("image.jpg", b"1"),
            PhotoFile("b.jpg", b"2"),
            PhotoFile("image.jpg", b"3"),
        ]
        assert labels_of(photos) == ["image.jpg (1)", "b.jpg", "image.jpg (2)"]

    def test_the_message_of_several_faces_names_the_file_so_that_it_can_be_picked(
        self, miniature_reader: InsightFaceReader, miniature_pack: FacePack, tmp_path: Path
    ) -> None:
        photos = []
        for number, folder in enumerate(("one", "two", "three")):
            pictures = [
                open_photo(*draw_photos(seed, 1, tmp_path / str(seed), first=number)).pixels
                for seed in (900, 903)
            ]
            (tmp_path / folder).mkdir()
            photos.append(tmp_path / folder / "both.png")
            Image.fromarray(np.hstack(pictures)).save(photos[-1])
        with pytest.raises(EnrolmentRefused, match=r"--pick one/both\.png=NUMBER"):
            make_template(miniature_reader, miniature_pack.bar, photos)
        picked: EnrolmentReport = make_template(
            miniature_reader, miniature_pack.bar, photos, picks={"one/both.png": 1}
        ).report
        assert picked.accepted == 3
        assert {verdict.name for verdict in picked.photos} == {
            "one/both.png",
            "two/both.png",
            "three/both.png",
        }
