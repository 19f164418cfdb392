"""The miniature world is what world.json says, small, and honest about who trained what."""

from __future__ import annotations

import hashlib

import numpy as np

from face_index.faces.insight import InsightFaceReader
from face_index.faces.packs import FacePack
from face_index.gallery.calibration_file import load_calibration
from scanner.miniature.demo import ENROLMENT_PHOTOS
from scanner.miniature.objects import STYLE_SEEDS
from scanner.miniature.persons import (
    BASE_MODEL_SEEDS,
    CALIBRATION_SEEDS,
    FACE_PACK_SEEDS,
    person_of,
)
from scanner.miniature.portraits import draw_photo
from scanner.miniature.training.adapter import FIRST_TRAINING_PHOTO, person_subject
from scanner.miniature.world import ADAPTERS, load_world
from scanner.sampling.base_models import MINIATURE_WEIGHTS
from scanner.triage.header import triage_file


def test_groups_are_as_many_as_promised() -> None:
    groups = [file.group for file in load_world().files]
    assert groups.count("registered") >= 6
    assert groups.count("stranger") == 4
    assert groups.count("style") + groups.count("object") == 4
    assert all(groups.count(name) == 1 for name in ("not-an-adapter", "malformed", "pickle"))


def test_nobody_trained_what_should_recognise_them() -> None:
    world = load_world()
    registered = {person.seed for person in world.registered}
    trained_on = {seed for file in world.files + world.shared for seed in file.person_seeds}
    for seeds in (FACE_PACK_SEEDS, BASE_MODEL_SEEDS, CALIBRATION_SEEDS, STYLE_SEEDS):
        assert not (registered | trained_on) & set(seeds)
    strangers = {
        seed for file in world.files if file.group == "stranger" for seed in file.person_seeds
    }
    assert not registered & strangers
    assert registered - trained_on, "someone must be registered whom nobody trained on"


def test_enrolment_photos_are_not_training_photos() -> None:
    assert ENROLMENT_PHOTOS < FIRST_TRAINING_PHOTO
    enrolled = draw_photo(person_of(101), 0).pixels
    assert not any(np.array_equal(enrolled, image) for image in person_subject(101, "x").images)


def test_every_file_is_there_and_all_of_them_are_small() -> None:
    world = load_world()
    assert {path.name for path in ADAPTERS.iterdir()} == {
        file.file for file in world.files + world.shared
    }
    total = sum(path.stat().st_size for path in MINIATURE_WEIGHTS.rglob("*") if path.is_file())
    assert total < 30_000_000


def test_the_innocent_file_tells_nothing() -> None:
    [file] = [
        file for file in load_world().files if file.group == "registered" and not file.triggers
    ]
    triage = triage_file(file.path)
    assert triage.training["scrubbed"]
    assert triage.triggers == ()


def test_headers_tell_photos_triggers_and_a_true_weights_hash() -> None:
    for file in load_world().files:
        if file.group in ("stranger", "style", "object"):
            triage = triage_file(file.path)
            assert triage.training["photo_count"] == 40
            assert triage.triggers
            assert not [
                problem for problem in triage.problems if "changed after training" in problem
            ]


def test_the_same_seed_draws_the_same_photo() -> None:
    first, again = draw_photo(person_of(5), 3), draw_photo(person_of(5), 3)
    assert hashlib.sha256(first.pixels).digest() == hashlib.sha256(again.pixels).digest()
    assert first.box == again.box


def test_the_calibration_belongs_to_the_shipped_pack(
    miniature_reader: InsightFaceReader, miniature_pack: FacePack
) -> None:
    calibration = load_calibration(
        miniature_pack.folder / "calibration.json", miniature_reader.version.sha256
    )
    assert calibration is not None
    assert calibration.likelihood_ratio is not None
    assert calibration.likelihood_ratio.cllr <= 0.05
    assert calibration.comparisons > 1_000_000
    assert 0.2 < calibration.threshold(10, 0.001) < 0.9


def test_found_landmarks_lie_where_they_were_drawn(miniature_reader: InsightFaceReader) -> None:
    photos = [draw_photo(person_of(CALIBRATION_SEEDS[5_000 + number]), 0) for number in range(60)]
    errors = []
    for photo, faces in zip(
        photos, miniature_reader.read([photo.pixels for photo in photos]), strict=True
    ):
        if faces:
            errors.append(np.linalg.norm(faces[0].landmarks - photo.landmarks, axis=1).mean())
    assert len(errors) >= 57
    assert np.median(errors) < 1.2
