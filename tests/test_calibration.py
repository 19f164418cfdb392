"""Thresholds hold their rate on unseen people, and likelihood ratios are not overstated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_index.errors import CalibrationImpossible
from face_index.faces.face import PackVersion
from face_index.gallery.calibration import (
    Basis,
    Calibration,
    Shortfall,
    calibrate,
    calibrate_impostors,
    crowding_of,
    false_match_rate_for,
)
from face_index.gallery.calibration_file import load_calibration, save_calibration
from face_index.gallery.faiss_gallery import IndexKind
from face_index.gallery.likelihood_ratio import reliability_of
from face_index.gallery.metrics import (
    cllr,
    det_curve,
    differential,
    equal_error_rate,
    minimal_cllr,
    rate,
    rate_over_subjects,
)
from face_index.gallery.spread import Spread
from scanner.identification.snapshot import take_snapshot

VERSION = PackVersion("pack", "ab" * 32, 48)
Floats = npt.NDArray[np.floating]


def population(
    count: int, seed: int, noise: float = 0.35, dimension: int = 48
) -> tuple[Floats, Floats]:
    """Templates and probes of made-up people: neighbours exist, photos vary."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(count, dimension)) * np.linspace(1.6, 0.6, dimension)
    rows = [faces + noise * rng.normal(size=faces.shape) for _ in range(2)]
    return tuple(
        (one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in rows
    )  # type: ignore[return-value]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(*population(2000, 1), VERSION.sha256, "made-up people")


@pytest.mark.parametrize(
    ("size", "rate_wanted"), [(100, 0.01), (1000, 0.01), (3000, 0.01), (300, 0.001)]
)
def test_a_threshold_holds_its_rate_on_people_it_has_not_seen(
    calibration: Calibration, size: int, rate_wanted: float
) -> None:
    templates, _ = population(3000, 2)
    _, strangers = population(12_000, 3)
    threshold = calibration.threshold(size, rate_wanted)
    scores = strangers @ templates.T
    galleries = [scores[:, start : start + size] for start in range(0, 3000 - size + 1, size)]
    measured = np.mean([(one.max(axis=1) >= threshold).mean() for one in galleries])
    low, high = calibration.fpir_interval(threshold, size)
    assert low * 0.7 <= measured <= high * 1.4
    assert calibration.fpir(threshold, size) == pytest.approx(rate_wanted, rel=1e-6)


def test_a_threshold_rises_with_gallery_and_crowding_and_falls_with_the_rate(
    calibration: Calibration,
) -> None:
    thresholds = [calibration.threshold(size, 0.001) for size in (1, 10, 100, 10_000)]
    assert thresholds == sorted(set(thresholds))
    assert calibration.threshold(100, 0.1) < calibration.threshold(100, 0.001) <= 1.0
    crowded = [calibration.threshold(100, 0.001, crowding) for crowding in (0.2, 1.0, 5.0)]
    assert crowded == sorted(set(crowded))


@settings(deadline=None)
@given(st.integers(1, 1_000_000), st.floats(1e-6, 0.4))
def test_rates_of_one_comparison_make_up_the_rate_of_a_search(size: int, fpir: float) -> None:
    assert 1 - (1 - false_match_rate_for(size, fpir)) ** size == pytest.approx(fpir, rel=1e-3)


def test_likelihood_ratios_are_calibrated_on_people_left_out(calibration: Calibration) -> None:
    ratio = calibration.likelihood_ratio
    assert ratio is not None
    templates, probes = population(1500, 8)
    scores = probes @ templates.T
    genuine = ratio.log10_of(np.diag(scores))
    impostor = ratio.log10_of(scores[~np.eye(1500, dtype=bool)][::50])
    assert cllr(genuine, impostor) <= 0.05
    assert abs(cllr(genuine, impostor) - minimal_cllr(genuine, impostor)) <= 0.01
    lowest, highest = ratio.bounds
    assert ratio.log10(1.0) == highest <= np.log10(2000**2 / 3)  # no more than was compared
    assert ratio.log10(-1.0) == lowest >= -np.log10(2000 / 3)
    assert np.all(np.diff(ratio.log10_of(np.linspace(-1, 1, 500))) >= 0)
    for one in reliability_of(genuine, impostor):
        if one.impostor and one.genuine:
            assert one.low - 0.3 <= one.stated <= one.high + 0.3


def test_ratios_between_the_two_kinds_of_scores_are_not_understated() -> None:
    """Logistic regression stated 10^0.4 where 10^3.7 was observed."""
    templates, probes = population(400, 9, noise=0.45)
    ratio = calibrate(templates, probes, VERSION.sha256, "few people").likelihood_ratio
    assert ratio is not None
    templates, probes = population(6000, 10, noise=0.45)
    genuine, scores = (templates * probes).sum(axis=1), probes @ templates.T
    impostor = scores[~np.eye(6000, dtype=bool)]
    for least, most in ((0.99, 0.9999), (0.9999, 0.999999)):
        low, high = np.quantile(impostor, [least, most])
        inside = impostor[(impostor >= low) & (impostor < high)]
        # The mean ratio of impostors is the ratio of the shares of both kinds, if it is right.
        stated = np.log10(np.mean(10 ** ratio.log10_of(inside)))
        same = np.sum((genuine >= low) & (genuine < high))
        shares = [max(same + 2 * sign * np.sqrt(same), 0.5) / len(genuine) for sign in (-1, 1)]
        fewest, most_seen = np.log10(shares) - np.log10(len(inside) / len(impostor))
        assert fewest - 0.5 < stated < most_seen + 0.5


def test_a_gallery_calibrates_thresholds_but_no_likelihood_ratios(calibration: Calibration) -> None:
    templates, _ = population(2000, 4)
    nobody = templates[:0]
    own = calibrate_impostors(templates, nobody, VERSION.sha256, Basis.GALLERY, "cross-scores")
    assert own.comparisons == 2000 * 1999 // 2
    assert own.likelihood_ratio is None
    assert own.threshold(1000, 0.001) == pytest.approx(calibration.threshold(1000, 0.001), abs=0.05)


def test_probes_are_compared_with_each_other_and_with_others(calibration: Calibration) -> None:
    templates, probes = population(2000, 4)
    own = calibrate_impostors(probes[:500], templates[500:], VERSION.sha256, Basis.DRAWN, "drawn")
    assert own.comparisons == 500 * 499 // 2 + 500 * 1500
    assert set(own.groups) == {"registered people"}
    low, high = own.threshold_interval(1000, 0.001)
    assert low <= calibration.threshold(1000, 0.001) <= high
    tails = (own.tail, own.groups["registered people"])
    rate = false_match_rate_for(1000, 0.001)
    assert own.threshold(1000, 0.001) == max(tail.cosine_at(rate) for tail in tails)
    assert own.shortfall(100, 0.01) is None


@pytest.mark.parametrize("count", [2, 20])
def test_too_few_people_are_told(count: int) -> None:
    with pytest.raises(CalibrationImpossible, match="too few"):
        calibrate(*population(count, 1), VERSION.sha256, "few")
    with pytest.raises(CalibrationImpossible, match="too few"):
        templates, _ = population(count, 1)
        calibrate_impostors(templates, templates[:0], VERSION.sha256, Basis.GALLERY, "few")


def test_a_calibration_belongs_to_its_networks(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "new" / "calibration.json"
    save_calibration(path, calibration)
    assert load_calibration(path, VERSION.sha256) == calibration
    assert load_calibration(path, "cd" * 32) is None
    assert load_calibration(tmp_path / "nowhere.json", VERSION.sha256) is None
    path.write_text('{"format": 1, "pack_sha256": "' + VERSION.sha256 + '"}')
    assert load_calibration(path, VERSION.sha256) is None


class TestCrowding:
    def test_a_crowded_template_gets_a_higher_threshold(self, calibration: Calibration) -> None:
        templates, _ = population(800, 5)
        templates[1:30] = templates[0] + 0.9 * templates[1:30]  # many who look like the first
        templates /= np.linalg.norm(templates, axis=1, keepdims=True)
        people = [(f"id-{number}", vector[None]) for number, vector in enumerate(templates)]
        snapshot = take_snapshot(VERSION, people, 7, IndexKind.EXACT, calibration, (0.001, 0.02))
        assert snapshot.thresholds_of("id-0").match > snapshot.thresholds.match
        assert snapshot.thresholds_of("nobody") == snapshot.thresholds
        assert np.mean(list(snapshot.crowding.values())) == pytest.approx(1.0, abs=0.15)
        best = snapshot.closest(templates[0])
        assert best[0].identity_id == "id-0"

    def test_crowding_is_the_same_in_blocks(self) -> None:
        rng = np.random.default_rng(2)
        scores = rng.normal(0, 0.1, (301, 900)).astype(np.float32)
        scores[:20] += 0.05
        scores[np.arange(301), np.arange(301)] = np.nan
        start = np.nanquantile(scores, 0.999)
        counts = np.nansum(scores > start, axis=1)
        prior = counts.mean() ** 2 / (counts.var() - counts.mean())
        expected = (counts + prior) / (counts.mean() + prior)
        for size in (1, 50, 301):
            parts = [scores[first : first + size] for first in range(0, 301, size)]
            found = crowding_of(lambda parts=parts: parts)  # type: ignore[misc]
            np.testing.assert_allclose(found, expected)

    def test_equal_neighbourhoods_stay_equal(self) -> None:
        scores = np.random.default_rng(1).normal(0, 0.1, (300, 2000))
        assert np.ptp(crowding_of(lambda: [scores])) < 0.5

    def test_a_small_gallery_has_one_threshold(self, calibration: Calibration) -> None:
        people = [
            (f"id-{number}", vector[None]) for number, vector in enumerate(population(20, 6)[0])
        ]
        snapshot = take_snapshot(VERSION, people, 1, IndexKind.EXACT, calibration, (0.001, 0.02))
        assert snapshot.crowding == {}
        assert snapshot.thresholds.match == calibration.threshold(20, 0.001)
        assert snapshot.thresholds.min_margin == calibration.runner_up_margin

    def test_without_a_calibration_nothing_can_be_a_match(self) -> None:
        snapshot = take_snapshot(VERSION, [], 1, IndexKind.EXACT, None, (0.001, 0.02))
        assert snapshot.thresholds.shortfall == Shortfall.NO_CALIBRATION
        assert snapshot.log10_lr(0.9) is None


class TestMetrics:
    def test_cllr_of_a_coin_is_one_bit_and_of_certainty_zero(self) -> None:
        assert cllr(np.zeros(10), np.zeros(10)) == pytest.approx(1.0)
        assert cllr(np.full(10, 9.0), np.full(10, -9.0)) == pytest.approx(0.0, abs=1e-6)
        assert cllr(np.array([-3.0]), np.array([3.0])) > 5

    def test_cllr_is_what_lir_computes(self) -> None:
        """Figures of lir 1.3.1 (Netherlands Forensic Institute); ties and misleading values."""
        genuine = np.array([2.5, 1.25, 0.5, -0.75, 3.0, 0.5])
        impostor = np.array([-2.0, -1.5, -0.25, 0.5, -3.0, 1.0, -0.75, -1.0])
        assert cllr(genuine, impostor) == pytest.approx(0.7126220469377136, rel=1e-14)
        assert minimal_cllr(genuine, impostor) == pytest.approx(0.489639580188046, rel=1e-14)

    def test_the_best_calibration_is_never_worse(self) -> None:
        rng = np.random.default_rng(0)
        genuine, impostor = rng.normal(1, 1, 500), rng.normal(-1, 1, 5000)
        assert minimal_cllr(genuine, impostor) <= cllr(genuine * 3, impostor * 3)
        assert minimal_cllr(genuine * 7 + 2, impostor * 7 + 2) == pytest.approx(
            minimal_cllr(genuine, impostor)
        )

    def test_equal_error_rate_of_two_normals(self) -> None:
        rng = np.random.default_rng(0)
        assert equal_error_rate(
            rng.normal(1, 1, 40_000), rng.normal(-1, 1, 40_000)
        ) == pytest.approx(0.1587, abs=0.01)
        _, false_match, false_non_match = det_curve(rng.normal(1, 1, 1000), rng.normal(-1, 1, 1000))
        assert (np.diff(false_match) <= 0).all()
        assert (np.diff(false_non_match) >= 0).all()

    def test_intervals(self) -> None:
        assert rate(0, 100).high == pytest.approx(0.0362, abs=1e-3)  # Clopper-Pearson
        assert np.isnan(rate(0, 0).value)
        rng = np.random.default_rng(0)
        # Ten persons of whom one causes every error: the trials are many, what is known is little.
        errors, trials = np.zeros(10), np.full(10, 1000.0)
        errors[0] = 100
        uneven = rate_over_subjects(errors, trials, rng)
        assert uneven.value == 0.01
        assert uneven.high - uneven.low > 5 * (rate(100, 10_000).high - rate(100, 10_000).low)

    def test_a_differential_needs_errors_in_every_group(self) -> None:
        assert differential({"a": rate(4, 100), "b": rate(1, 100)}) == (4.0, "a", "b")
        assert differential({"a": rate(4, 100), "b": rate(0, 100)}) is None
        assert differential({"a": rate(4, 100)}) is None


class TestDamagedFiles:
    @pytest.mark.parametrize(
        "change",
        [
            lambda record: record.update(comparisons=0),
            lambda record: record.update(comparisons=-5),
            lambda record: record.update(comparisons="many"),
            lambda record: record.update(subjects=None),
            lambda record: record.update(source=7),
            lambda record: record.update(seen_rate=2),
            lambda record: record.update(runner_up_margin="0.1"),
            lambda record: record.update(runner_up_margin=float("nan")),
            lambda record: record["tail"].update(shape=1e6),
            lambda record: record["tail"].update(start=1e300),
            lambda record: record["tail"].update(body=[]),
            lambda record: record["tail"]["body"].reverse(),
            lambda record: record["tail"]["body"][0].__setitem__(1, 0),
            lambda record: record["likelihood_ratio"].update(cllr="good"),
            lambda record: record["likelihood_ratio"]["curve"].reverse(),
            lambda record: record["likelihood_ratio"]["curve"][-1].__setitem__(1, 1e308),
            lambda record: record["likelihood_ratio"]["reliability"][0].update(stated=None),
            lambda record: record["likelihood_ratio"]["reliability"][0].update(low=float("nan")),
            lambda record: record["spread"].update(angle=-1),
        ],
    )
    def test_they_are_refused_with_a_sentence(
        self, calibration: Calibration, tmp_path: Path, change: Callable[[dict[str, Any]], object]
    ) -> None:
        path = tmp_path / "calibration.json"
        save_calibration(path, replace(calibration, spread=Spread(0.2, 9.0)))
        assert load_calibration(path, VERSION.sha256) is not None
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
        with pytest.raises(CalibrationImpossible, match=r"is damaged .* run calibrate again"):
            load_calibration(path, VERSION.sha256)

    def test_scores_that_are_all_alike_replace_no_calibration(
        self, calibration: Calibration, tmp_path: Path
    ) -> None:
        path = tmp_path / "calibration.json"
        save_calibration(path, calibration)
        same = np.tile(population(1, 1)[0], (40, 1))
        with pytest.raises(CalibrationImpossible):
            found = calibrate_impostors(same, same[:0], VERSION.sha256, Basis.DRAWN, "one face")
            save_calibration(path, found)
        assert load_calibration(path, VERSION.sha256) == calibration
