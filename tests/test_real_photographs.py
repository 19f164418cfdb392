"""Enrolment and calibration on photographs that others made, in any folder of persons' folders.

    export PORTRAIT_SCANNER_TEST_PHOTOS=lfw PORTRAIT_SCANNER_TEST_PACK=pack
    pytest tests/test_real_photographs.py

The folder may be LFW or your own; PACK is a folder with a pack.toml or in InsightFace's layout. The
tests are skipped without them, because photographs of people are not a part of this project.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_index.accuracy.evaluation import evaluate_people
from face_index.accuracy.labelled import labelled_photos, read_photos
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.faces.photos import open_photo, photos_in
from face_index.registration.enrolment import make_template
from face_index.registration.grouping import UNCALIBRATED_ALIKE
from face_index.registration.report import EnrolmentRefused

FOLDER, PACK = "PORTRAIT_SCANNER_TEST_PHOTOS", "PORTRAIT_SCANNER_TEST_PACK"
PERSONS, PHOTOS = 40, 4

pytestmark = pytest.mark.skipif(
    not (os.environ.get(FOLDER) and os.environ.get(PACK)),
    reason=f"{FOLDER} and {PACK} name no folder of photographs and no face pack",
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="module")
def pack() -> FacePack:
    return find_pack(os.environ[PACK], Path("unused"), {})


@pytest.fixture(scope="module")
def reader(pack: FacePack) -> InsightFaceReader:
    return InsightFaceReader(pack)


@pytest.fixture(scope="module")
def albums(folder: Path) -> list[list[Path]]:
    """The first photos of some persons who have enough of them."""
    found = [photos_in([person]) for person in sorted(folder.iterdir()) if person.is_dir()]
    return [photos[:PHOTOS] for photos in found if len(photos) >= PHOTOS][:PERSONS]


def is_enrolled(reader: InsightFaceReader, pack: FacePack, photos: Sequence[Path]) -> bool:
    try:
        make_template(reader, pack.bar, photos, alike=UNCALIBRATED_ALIKE)
    except EnrolmentRefused:
        return False
    return True


def test_people_are_enrolled_and_two_in_one_folder_are_not(
    reader: InsightFaceReader, pack: FacePack, albums: list[list[Path]]
) -> None:
    assert len(albums) >= 10, "the folder has fewer than ten persons with four photos"
    enrolled = [is_enrolled(reader, pack, photos) for photos in albums]
    assert np.mean(enrolled) >= 0.95
    pairs = itertools.pairwise(albums)
    taken = [is_enrolled(reader, pack, [*first[:2], *second[:2]]) for first, second in pairs]
    assert sum(taken) <= 1  # LFW has folders of one person under two names


def test_a_turned_photo_is_turned_back(
    reader: InsightFaceReader, pack: FacePack, albums: list[list[Path]], tmp_path: Path
) -> None:
    turned_back = 0
    for number, photos in enumerate(albums[:8]):
        quarters, turned = number % 3 + 1, tmp_path / f"{number}.png"
        Image.fromarray(np.rot90(open_photo(photos[3]).pixels, quarters)).save(turned)
        template = make_template(reader, pack.bar, [*photos[:3], turned], alike=UNCALIBRATED_ALIKE)
        last = template.report.photos[-1]
        turned_back += last.choice is not None and last.choice.degrees == 90 * quarters
    assert turned_back >= 7  # a photo may be too poor to tell


def test_stated_rates_hold_for_persons_left_out(
    reader: InsightFaceReader, pack: FacePack, folder: Path
) -> None:
    *_, read = read_photos(labelled_photos(folder), reader, pack.bar, UNCALIBRATED_ALIKE)
    evaluation = evaluate_people(read, reader.version.sha256)
    if not evaluation.identification:
        pytest.skip("fewer than 70 persons have four usable photos")
    for point in evaluation.identification:
        assert point.false_positive.low <= point.stated
    assert evaluation.cllr is not None
    assert evaluation.cllr <= 0.1
