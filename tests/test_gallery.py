"""Search: the plain gallery and FAISS agree; calibration gives thresholds that hold their rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from face_index.calibration import fit_calibration, load_calibration, save_calibration
from face_index.errors import PackMismatch
from face_index.face import PackVersion, Vector, unit
from face_index.faiss_gallery import FaissGallery
from face_index.gallery import ExactGallery

VERSION = PackVersion("pack", "ab" * 32, 64)


def people(count: int, seed: int = 0) -> list[tuple[str, Vector]]:
    rng = np.random.default_rng(seed)
    return [(f"id-{number}", unit(rng.normal(size=64))) for number in range(count)]


@pytest.mark.parametrize("build", [ExactGallery, FaissGallery])
class TestGallery:
    def test_everyone_is_their_own_nearest(self, build: type[ExactGallery]) -> None:
        templates = people(50)
        gallery = build(VERSION, templates)
        for identity_id, vector in templates:
            best = gallery.search(vector, 1)[0]
            assert best.identity_id == identity_id
            assert best.score == pytest.approx(1.0, abs=1e-5)
            np.testing.assert_allclose(gallery.vector_of(identity_id), vector)

    def test_an_empty_gallery_finds_nobody(self, build: type[ExactGallery]) -> None:
        gallery = build(VERSION, [])
        assert len(gallery) == 0
        assert gallery.search(people(1)[0][1]) == []

    def test_it_agrees_with_plain_arithmetic(self, build: type[ExactGallery]) -> None:
        templates = people(200)
        gallery = build(VERSION, templates)
        for _, probe in people(20, seed=9):
            scores = sorted((float(vector @ probe) for _, vector in templates), reverse=True)[:7]
            np.testing.assert_allclose([candidate.score for candidate in gallery.search(probe, 7)], scores, atol=1e-5)


def test_packs_never_meet() -> None:
    with pytest.raises(PackMismatch, match="enrol again"):
        VERSION.must_be(replace(VERSION, sha256="cd" * 32))


def test_a_threshold_holds_its_rate_on_scores_it_has_not_seen() -> None:
    rng = np.random.default_rng(5)
    calibration = fit_calibration(rng.normal(0, 0.12, 400_000), VERSION.sha256, "normal scores")
    size, rate, searches = 50, 0.01, 20_000
    threshold = calibration.threshold(size, rate)
    false_positives = (rng.normal(0, 0.12, (searches, size)).max(axis=1) >= threshold).mean()
    assert 0.4 * rate < false_positives < 2 * rate


def test_a_threshold_rises_with_the_gallery_and_falls_with_the_rate() -> None:
    calibration = fit_calibration(np.random.default_rng(5).normal(0, 0.12, 200_000), VERSION.sha256, "normal scores")
    thresholds = [calibration.threshold(size, 0.001) for size in (1, 10, 100, 10_000)]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == 4
    assert calibration.threshold(10, 0.1) < calibration.threshold(10, 0.001) <= 1.0


def test_a_calibration_belongs_to_its_networks(tmp_path: Path) -> None:
    calibration = fit_calibration(np.random.default_rng(5).normal(0, 0.12, 50_000), VERSION.sha256, "normal scores")
    save_calibration(tmp_path, calibration)
    assert load_calibration(tmp_path, VERSION.sha256) == calibration
    assert load_calibration(tmp_path, "cd" * 32) is None
    assert load_calibration(tmp_path / "nowhere", VERSION.sha256) is None
