"""Wrong labels are found before a calibration rests on them, and memory stays bounded."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_index.accuracy.evaluation import evaluate_people
from face_index.accuracy.extremes import closest_impostors, farthest_photos, looks_at
from face_index.accuracy.label_checks import (
    suspicious_pairs,
    suspicious_photos,
    without_shared_pictures,
)
from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos
from face_index.accuracy.marks import Mark, Marks, marks_file, read_marks
from face_index.errors import CalibrationImpossible
from face_index.faces.face import unit
from face_index.gallery.calibration import Basis, Shortfall, calibrate, tails_of_groups
from face_index.gallery.calibration_file import load_calibration, save_calibration
from face_index.gallery.impostors import ImpostorScores, quantiles_of
from face_index.gallery.spread import Spread, spread_of
from scanner.identification.intervals import estimate
from scanner.identification.policy import CAPTURES
from tests.test_calibration import VERSION, population
from tests.test_faces import GOOD


class TestImpostorScores:
    @pytest.fixture(scope="class")
    def people(self) -> tuple[np.ndarray, np.ndarray]:
        return population(200, 5)

    def plain(self, people: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        templates, probes = people
        scores = probes @ templates.T
        for first, second in ((1, 7), (3, 199)):
            scores[first, second] = scores[second, first] = np.nan
        np.fill_diagonal(scores, np.nan)
        return scores

    def test_blocks_are_the_plain_scores(
        self, people: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("face_index.gallery.impostors._SCORES_IN_A_BLOCK", 7_000)
        scores, plain = ImpostorScores(*people, {(1, 7), (3, 199)}), self.plain(people)
        found = np.concatenate([block for _, block in scores.blocks()])
        np.testing.assert_allclose(found, plain, atol=1e-6)
        assert scores.count == int((~np.isnan(plain)).sum())
        values, rows, columns = scores.above(0.5)
        assert len(values) == int((plain > 0.5).sum())
        np.testing.assert_allclose(plain[rows, columns], values, atol=1e-6)

    def test_quantiles_of_the_histogram_are_those_of_the_scores(
        self, people: tuple[np.ndarray, np.ndarray]
    ) -> None:
        scores, plain = ImpostorScores(*people, {(1, 7), (3, 199)}), self.plain(people)
        rates = np.array([0.5, 0.1, 0.01, 0.001])
        expected = np.nanquantile(plain, 1 - rates)
        np.testing.assert_allclose(quantiles_of(*scores.histogram(), rates), expected, atol=2e-3)

    def test_a_sample_has_no_scores_that_do_not_count(
        self, people: tuple[np.ndarray, np.ndarray]
    ) -> None:
        templates, _ = people
        scores = ImpostorScores(templates, templates, {(0, 1)})
        sample = scores.sample(5_000, np.random.default_rng(0))
        assert 4_000 < len(sample) <= 5_000
        assert sample.max() < 0.999  # nobody with themselves
        assert len(scores.sample(10**6, np.random.default_rng(0))) == scores.count

    def test_memory_does_not_grow_with_the_pairs(self) -> None:
        people = population(6_000, 8)
        tracemalloc.start()
        calibrate(*people, VERSION.sha256, "many", replicates=4)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.2e9  # 36 million pairs with 164 bytes each would be 5.9 GB


class TestPoisonedLabels:
    PEOPLE = 76

    def test_people_who_are_all_different_raise_no_doubt(self) -> None:
        for seed in range(6):
            assert suspicious_pairs(*population(self.PEOPLE, seed)) == []

    @pytest.mark.parametrize("seed", range(4))
    def test_one_person_under_two_names_is_found_and_moves_no_threshold(self, seed: int) -> None:
        templates, probes = population(self.PEOPLE, seed)
        clean = calibrate(templates, probes, VERSION.sha256, "clean")
        templates[5], probes[5] = (
            unit(one[9] + 0.15 * unit(np.random.default_rng(seed).normal(size=48)))
            for one in (templates, probes)
        )
        poisoned = calibrate(templates, probes, VERSION.sha256, "poisoned")
        assert poisoned.threshold(1_000, 0.001) > clean.threshold(1_000, 0.001) + 0.05
        [(score, pair)] = suspicious_pairs(templates, probes)
        assert pair == (5, 9)
        assert score > 0.8
        mended = calibrate(templates, probes, VERSION.sha256, "mended", left_out=[pair])
        low, high = clean.threshold_interval(1_000, 0.001)
        assert low <= mended.threshold(1_000, 0.001) <= high
        assert suspicious_pairs(templates, probes, {pair}) == []


class TestSinglePhotos:
    def test_one_photo_under_a_wrong_name_is_found(self) -> None:
        rng = np.random.default_rng(3)
        base = {f"person {number}": unit(rng.normal(size=96)) for number in range(60)}
        people = {
            name: [unit(one + 0.5 * unit(rng.normal(size=96))) for _ in range(5)]
            for name, one in base.items()
        }
        assert suspicious_photos(read_of(people)) == []
        people["person 7"][3] = unit(base["person 30"] + 0.5 * unit(rng.normal(size=96)))
        [doubt] = suspicious_photos(read_of(people))
        assert set(doubt.persons) == {"person 7", "person 30"}
        assert "person 7/3.png" in doubt.photos
        assert "may show one person" in doubt.text()


class TestGroups:
    def test_a_threshold_holds_in_the_group_whose_people_look_most_alike(self) -> None:
        rng = np.random.default_rng(4)
        common = unit(rng.normal(size=48))
        both = [population(300, 1), population(300, 2)]
        alike = [one + 0.6 * common for one in both[1]]
        templates, probes = (
            np.concatenate([one, other / np.linalg.norm(other, axis=1, keepdims=True)])
            for one, other in zip(both[0], alike, strict=True)
        )
        names = ["a"] * 300 + ["b"] * 300
        groups = tails_of_groups(templates, probes, names, {(0, 1), (299, 300), (300, 301)})
        assert set(groups) == {"a", "b"}
        plain = calibrate(templates, probes, VERSION.sha256, "people")
        grouped = replace(plain, groups=groups)
        assert grouped.threshold(1_000, 0.001) > plain.threshold(1_000, 0.001)
        assert grouped.worst_group(1_000, 0.001) == "b"
        assert plain.worst_group(1_000, 0.001) == ""
        assert tails_of_groups(templates, probes, ["few"] * 99 + [""] * 501) == {}

    def test_they_are_stored(self, tmp_path: Path) -> None:
        people = population(150, 3)
        made = replace(
            calibrate(*people, VERSION.sha256, "people"),
            groups=tails_of_groups(*people, ["a"] * 150),
            spread=Spread(0.2, 9.0),
        )
        save_calibration(tmp_path / "c.json", made)
        assert load_calibration(tmp_path / "c.json", VERSION.sha256) == made


class TestSpread:
    """Few images: their interval rests on how images of many people scatter."""

    def people(self, count: int, images: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(count):
            centre = unit(rng.normal(size=48))
            template = unit(centre + 0.3 * unit(rng.normal(size=48)))
            noise = 0.6 * rng.lognormal(0, 0.2)
            vectors = [unit(centre + noise * unit(rng.normal(size=48))) for _ in range(images)]
            found.append((np.stack(vectors), template))
        return found

    def test_it_is_that_of_the_people(self) -> None:
        few, many = (spread_of(self.people(2_000, images, 1)) for images in (8, 12))
        assert few is not None
        assert many is not None
        assert few.angle == pytest.approx(many.angle, rel=0.2)
        assert 4 < many.freedom <= 30
        assert spread_of(self.people(34, 5, 1)) is None

    @pytest.mark.parametrize("images", [3, 4])
    def test_intervals_of_a_few_images_hold_and_are_narrower(self, images: int) -> None:
        spread = spread_of(self.people(1_000, 8, 1))
        covered, widths = {True: 0, False: 0}, {True: 0.0, False: 0.0}
        for vectors, template in self.people(600, 200, 2):
            truth = float(unit(vectors.mean(axis=0)) @ template)
            for known in (True, False):
                found = estimate(
                    vectors[:images], template, CAPTURES, None, spread if known else None
                )
                covered[known] += found.interval[0] <= truth <= found.interval[1]
                widths[known] += found.interval[1] - found.interval[0]
        assert covered[True] > 0.93 * 600
        assert widths[True] < 0.75 * widths[False]


class TestWhatComparisonsBear:
    def test_rates_beyond_the_rule_of_three_are_not_stated(self) -> None:
        calibration = calibrate(*population(500, 2), VERSION.sha256, "people")
        assert calibration.comparisons == 500 * 499
        assert calibration.shortfall(20, 0.001) is None
        assert calibration.shortfall(80, 0.001) is None
        assert calibration.shortfall(90, 0.001) == Shortfall.TOO_FEW_COMPARISONS
        assert calibration.shortfall(90, 0.01) is None
        registered = replace(calibration, basis=Basis.GALLERY)
        assert registered.shortfall(20, 0.1) == Shortfall.GALLERY_ONLY

    def test_an_interval_holds_its_threshold(self) -> None:
        calibration = calibrate(*population(500, 2), VERSION.sha256, "people")
        for size in (20, 1_000, 100_000):
            low, high = calibration.threshold_interval(size, 0.001)
            assert low < calibration.threshold(size, 0.001) < high


def read_of(people: dict[str, list[np.ndarray]], folder: Path = Path("x")) -> ReadPhotos:
    faces = {
        LabelledPhoto(folder / name / f"{number}.png", name): replace(GOOD, embedding=vector)
        for name, vectors in people.items()
        for number, vector in enumerate(vectors)
    }
    return ReadPhotos(faces, {})


class TestWhatToLookAt:
    def test_the_most_similar_people_and_the_oddest_photos_come_first(self) -> None:
        rng = np.random.default_rng(0)
        base = {name: unit(rng.normal(size=64)) for name in "abcdef"}
        base["b"] = unit(base["a"] + 0.5 * unit(rng.normal(size=64)))
        people = {
            name: [unit(one + 0.4 * unit(rng.normal(size=64))) for _ in range(5)]
            for name, one in base.items()
        }
        people["e"][2] = unit(rng.normal(size=64))
        read = read_of(people)
        first = closest_impostors(read)[0]
        assert {first.first.person, first.second.person} == {"a", "b"}
        pairs = [
            frozenset((one.first.person, one.second.person)) for one in closest_impostors(read)
        ]
        assert len(pairs) == len(set(pairs))
        odd = farthest_photos(read)[0]
        assert (odd.first.person, odd.first.path.name) == ("e", "2.png")
        assert odd.second.person == "e"

    def test_pictures_are_part_of_the_report(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        read = read_of({name: [unit(rng.normal(size=8)) for _ in "xy"] for name in "ab"}, tmp_path)
        for photo in read.faces:
            photo.path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (90, 80, 3), np.uint8)).save(photo.path)
        looks = looks_at(read)
        assert looks.impostors
        assert all(one.startswith("data:image/jpeg;base64,") for one in looks.pictures.values())


class TestSharedPictures:
    def test_pictures_under_two_names_are_left_out(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        vectors = {name: [unit(rng.normal(size=64)) for _ in range(3)] for name in "abc"}
        vectors["b"][1] = vectors["a"][0]  # saved again
        vectors["c"][1] = vectors["a"][2]  # another picture of a face that is as similar
        read = read_of(vectors, tmp_path)
        for photo in read.faces:
            photo.path.parent.mkdir(exist_ok=True)
            blocks = rng.integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(blocks).resize((128, 128)).save(photo.path)
        Image.open(tmp_path / "a/0.png").resize((90, 90)).save(tmp_path / "b/1.png")
        left, shared = without_shared_pictures(read)
        assert [(one.person, other.person) for one, other in shared] == [("a", "b")]
        assert len(left.faces) == 7
        assert left.photo_count == 7


class TestMarks:
    def test_marks_are_read_as_they_are_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "marks.csv"
        path.write_text(marks_file(Marks(), [("A, B", "C"), ("D ", ""), ("=E", "F")]), "utf-8")
        assert read_marks(path).counts() == {}
        lines = path.read_text().splitlines()
        marked = [lines[0], lines[1] + "related", lines[2] + "one-person", lines[3]]
        path.write_text("\n".join([*marked, "G/1.jpg,,leave-out"]), "utf-8-sig")
        marks = read_marks(path)
        assert marks.pairs == {frozenset(("A, B", "C")): Mark.RELATED}
        assert marks.names == {"D ": Mark.ONE_PERSON, "G/1.jpg": Mark.LEAVE_OUT}
        again = marks_file(marks, [("=E", "F")])
        assert "'=E,F,\n" in again  # no formula in a spreadsheet
        path.write_text(again.replace("F,\n", "F,same\n"), "utf-8")
        assert read_marks(path).pairs == {**marks.pairs, frozenset(("=E", "F")): Mark.SAME}
        assert read_marks(path).names == marks.names
        assert marks.left_out("G/1.jpg")
        assert not marks.left_out("D ")
        assert marks.unknown(["A, B", "C"], ["G/1.jpg"]) == ["D "]
        assert marks.counts() == {"leave-out": 1, "one-person": 1, "related": 1}
        assert len(marks.sha256) == 64

    @pytest.mark.parametrize(
        "line", ["a,b,twins", "a,,related", "a,b,leave-out", ",,leave-out", ",b,same", "a,a,same"]
    )
    def test_a_mark_that_fits_nothing_is_refused(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "marks.csv"
        path.write_text(f"first,second,mark\n{line}\n")
        with pytest.raises(CalibrationImpossible, match="line 2"):
            read_marks(path)

    @settings(max_examples=80, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_file_is_read_or_refused(self, data: bytes) -> None:
        path = Path("/dev/shm/marks-of-a-test.csv")
        path.write_bytes(data)
        try:
            marks = read_marks(path)
        except CalibrationImpossible:
            return
        finally:
            path.unlink()
        assert isinstance(marks, Marks)


@pytest.mark.parametrize(("groups", "found"), [(("", ""), None), (("a", ""), {}), (("a", "b"), {})])
def test_groups_that_are_too_small_are_told_from_no_groups(
    groups: tuple[str, str], found: dict[str, object] | None
) -> None:
    templates, probes = population(4, 3)
    read = read_of({str(number): [templates[number], probes[number]] for number in range(4)})
    faces = {
        replace(photo, group=groups[int(photo.person) % 2]): face
        for photo, face in read.faces.items()
    }
    evaluation = evaluate_people(ReadPhotos(faces, {}), VERSION.sha256)
    assert evaluation.groups == found
    assert evaluation.differentials == (None if found is None else {"fmr": None, "fnmr": None})
