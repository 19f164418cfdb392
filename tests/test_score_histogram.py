"""Thresholds from counts of impostor scores, of which the highest are missing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_index.errors import CalibrationImpossible
from face_index.gallery.calibration import Basis, Shortfall
from face_index.gallery.score_histogram import (
    BINS,
    ScoreHistogram,
    bins_of,
    calibrate_histograms,
    fit_histograms,
)
from face_index.gallery.tail import Tail

PACK = "ab" * 32
GALLERY = 1_000
FILES = 3_000
# The tail of the miniature pack, nearly; FPIR 1 % in a gallery of 1,000 is at 0.69.
TRUE = Tail(0.65, 1e-4, -0.02, 0.08, ((0.0, 0.5), (0.15, 0.1), (0.31, 0.01), (0.47, 0.001)))
POSSIBLE = TRUE.cosine_at(1e-5)


def impostor_counts(scores: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Counts of scores from the true distribution."""
    edges = np.linspace(-1, 1, BINS + 1)
    above = np.array([1.0, *(TRUE.false_match_rate(edge) for edge in edges[1:])])
    shares = np.maximum(above[:-1] - above[1:], 0)
    return np.asarray(rng.multinomial(scores, shares / shares.sum()))


def histogram(counts: npt.NDArray[np.int64], below: float) -> ScoreHistogram:
    """Counts of what is below a cosine."""
    first = int(bins_of(np.array([below]))[0])
    return ScoreHistogram(first, np.where(np.arange(BINS) < first, counts, 0))


def folds_of(rng: np.random.Generator, extra: npt.NDArray[np.int64]) -> list[list[ScoreHistogram]]:
    """Twenty disjoint sets of files, with further counts in the first one."""
    counted = [impostor_counts(GALLERY * FILES // 20, rng) for _ in range(20)]
    counted[0] = counted[0] + extra
    return [[histogram(counts, POSSIBLE)] for counts in counted]


@given(st.lists(st.floats(-1, 1), min_size=1))
def test_every_cosine_has_a_bin(cosines: list[float]) -> None:
    values = np.array(cosines)
    lower = bins_of(values) * 2 / BINS - 1
    assert np.all((lower <= values + 1e-9) & (values <= lower + 2 / BINS + 1e-9))


def test_the_missing_scores_do_not_change_the_threshold() -> None:
    rng = np.random.default_rng(1)
    found = calibrate_histograms(folds_of(rng, np.zeros(BINS, np.int64)), PACK, "scans", FILES)
    assert found.basis == Basis.SCANS
    assert found.comparisons == pytest.approx(GALLERY * FILES, rel=1e-4)
    low, high = found.threshold_interval(GALLERY, 0.001)
    assert low <= TRUE.cosine_at(1e-6) <= high
    assert high - low < 0.1
    assert found.shortfall(GALLERY, 0.001) is None


def test_scores_over_the_lower_threshold_would_raise_it() -> None:
    """A hundred files that show registered people, under which nobody has looked yet."""
    rng = np.random.default_rng(2)
    true_matches = np.bincount(bins_of(rng.normal(0.85, 0.05, 100).clip(-1, 1)), minlength=BINS)
    found = calibrate_histograms(folds_of(rng, true_matches), PACK, "scans", FILES)
    whole = impostor_counts(GALLERY * FILES, rng) + true_matches
    careless = fit_histograms([ScoreHistogram(BINS, whole)])
    assert abs(found.threshold(GALLERY, 0.001) - TRUE.cosine_at(1e-6)) < 0.04
    assert careless.cosine_at(1e-6) > TRUE.cosine_at(1e-6) + 0.08


def test_a_few_true_matches_that_scored_low_hardly_count() -> None:
    """One file in a hundred shows a registered person, and was missed."""
    rng = np.random.default_rng(3)
    missed = np.bincount(bins_of(rng.uniform(0.3, POSSIBLE, FILES // 100)), minlength=BINS)
    found = calibrate_histograms(folds_of(rng, missed), PACK, "scans", FILES)
    assert abs(found.threshold(GALLERY, 0.001) - TRUE.cosine_at(1e-6)) < 0.05


def test_counts_under_several_thresholds_are_fitted_together() -> None:
    """The gallery grew, and the lower threshold with it."""
    rng = np.random.default_rng(4)
    grown = [
        histogram(impostor_counts(1_000_000, rng), TRUE.cosine_at(rate))
        for rate in (1e-4, 1e-5, 3e-6)
    ]
    assert abs(fit_histograms(grown).cosine_at(1e-6) - TRUE.cosine_at(1e-6)) < 0.05


def test_a_rate_far_beyond_what_was_counted_is_a_guess() -> None:
    """Under the threshold of a pack without a calibration nothing is known of high scores."""
    rng = np.random.default_rng(6)
    counted = [[histogram(impostor_counts(1_000_000, rng), 0.45)] for _ in range(20)]
    found = calibrate_histograms(counted, PACK, "scans", FILES)
    assert found.seen_rate == pytest.approx(TRUE.false_match_rate(0.45), rel=0.4)
    assert found.shortfall(GALLERY, 0.001) == Shortfall.TOO_FEW_COMPARISONS
    assert 0 < found.largest_gallery(0.02) < GALLERY
    assert found.shortfall(found.largest_gallery(0.02), 0.02) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-5, BINS + 5),
            st.dictionaries(st.integers(-5, BINS + 5), st.integers(-5, 10**9), max_size=30),
        ),
        max_size=4,
    )
)
def test_any_counts_give_a_threshold_or_a_reason(counted: list[tuple[int, dict[int, int]]]) -> None:
    try:
        tail = fit_histograms([ScoreHistogram.of(*one) for one in counted])
    except CalibrationImpossible:
        return
    thresholds = [tail.cosine_at(rate) for rate in (0.05, 1e-3, 1e-5, 1e-8)]
    assert all(-1 <= threshold <= 1 for threshold in thresholds)
    assert thresholds == sorted(thresholds)
    assert all(0 <= tail.false_match_rate(threshold) <= 1 for threshold in thresholds)


def test_without_scores_nothing_is_fitted() -> None:
    with pytest.raises(CalibrationImpossible, match="scan"):
        calibrate_histograms([], PACK, "scans", 0)
    with pytest.raises(CalibrationImpossible, match="too few"):
        calibrate_histograms(
            [[histogram(impostor_counts(500, np.random.default_rng(5)), 0.5)]], PACK, "scans", 9
        )
