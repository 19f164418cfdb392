"""`identify` asks for the samples and controls that it needs, and for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from face_index.faces.face import PackVersion, Vector, unit
from face_index.gallery.faiss_gallery import IndexKind
from scanner.identification.conclusion import Identification
from scanner.identification.identify import identify
from scanner.identification.outcome import Outcome
from scanner.identification.policy import Policy
from scanner.identification.samples import (
    CheckpointFaces,
    MoreControls,
    MoreSamples,
    SampleFace,
)
from scanner.identification.snapshot import GallerySnapshot, take_snapshot
from scanner.records import Question

DIMENSION = 32
POLICY = Policy()
TRIGGER = "ohwx person"


@pytest.fixture(scope="module")
def snapshot() -> GallerySnapshot:
    """One person at the first axis, without a calibration: possible from a cosine of 0.58."""
    template = np.eye(DIMENSION, dtype=np.float32)[:1]
    version = PackVersion("pack", "00" * 32, DIMENSION)
    return take_snapshot(version, [("ada", template)], 1, IndexKind.EXACT, None, (0.001, 0.02))


def faces(count: int, cosine: float, scale: float = 1.0) -> tuple[SampleFace, ...]:
    """Samples whose mean face has about this cosine to the template."""
    rng = np.random.default_rng(round(cosine * 100) + count)
    return tuple(
        SampleFace(Question(TRIGGER, scale), True, _near(cosine, rng), weight=1.0)
        for _ in range(count)
    )


def _near(cosine: float, rng: np.random.Generator) -> Vector:
    vector = np.zeros(DIMENSION)
    vector[0], vector[1] = cosine, np.sqrt(1 - cosine**2)
    return unit((vector + rng.normal(0, 0.02, DIMENSION)).astype(np.float32))


def drawn_until_decided(
    checkpoint: CheckpointFaces, snapshot: GallerySnapshot, cosine: float
) -> tuple[Identification, list[MoreSamples | MoreControls]]:
    """Draw what is asked for; return the decision and what was asked."""
    asked: list[MoreSamples | MoreControls] = []
    while not isinstance(decided := identify(checkpoint, snapshot, POLICY), Identification):
        asked.append(decided)
        confirmation = list(checkpoint.confirmation)
        if isinstance(decided, MoreSamples):
            confirmation += faces(decided.count, cosine, decided.question.scale)
        else:
            for number in decided.samples:
                assert not confirmation[number].has_control
                confirmation[number] = replace(confirmation[number], has_control=True)
        checkpoint = replace(checkpoint, confirmation=tuple(confirmation))
    return decided, asked


def test_nobody_near_costs_nothing(snapshot: GallerySnapshot) -> None:
    decided, asked = drawn_until_decided(CheckpointFaces((faces(8, 0.1),)), snapshot, 0.1)
    assert (decided.outcome, asked) == (Outcome.CLEAR, [])


def test_whoever_is_not_near_in_confirmation_needs_no_controls(snapshot: GallerySnapshot) -> None:
    decided, asked = drawn_until_decided(CheckpointFaces((faces(8, 0.7),)), snapshot, 0.3)
    assert (decided.outcome, decided.lift) == (Outcome.CLEAR, None)
    assert asked == [MoreSamples(Question(TRIGGER), POLICY.confirmation)]


def test_a_finding_has_the_controls_of_the_first_round(snapshot: GallerySnapshot) -> None:
    decided, asked = drawn_until_decided(CheckpointFaces((faces(8, 0.9),)), snapshot, 0.9)
    assert [finding.identity_id for finding in decided.findings] == ["ada"]
    *samples, controls = asked
    assert all(isinstance(one, MoreSamples) for one in samples)
    assert controls == MoreControls(tuple(range(POLICY.confirmation)))


def test_controls_that_were_drawn_are_not_asked_for_again(snapshot: GallerySnapshot) -> None:
    """Before, the first round was drawn with controls, whether they were needed or not."""
    confirmation = faces(6, 0.9)
    drawn = tuple(replace(face, has_control=True) for face in confirmation)
    checkpoint = CheckpointFaces((faces(8, 0.9),), drawn)
    _, asked = drawn_until_decided(checkpoint, snapshot, 0.9)
    assert not any(isinstance(one, MoreControls) for one in asked)
