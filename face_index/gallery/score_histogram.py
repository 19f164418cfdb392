"""Calibration from counts of impostor scores, of which the highest are missing.

A file whose faces come near somebody is a finding and no impostor, so its scores are not counted.
What was counted are therefore impostor scores under the threshold of that time. The tail is fitted
with right truncation there, so that neither the missing scores nor the files that truly show a
registered person change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.errors import CalibrationImpossible
from face_index.gallery.calibration import REPLICATES, Basis, Calibration
from face_index.gallery.tail import (
    LARGEST_TAIL_SHARE,
    MOST_COSINE,
    Tail,
    body_of,
    exceedances_for,
)

BINS = 1_000  # of the cosines from -1 to 1
_EDGES = np.linspace(-1.0, 1.0, BINS + 1)
_Z_EDGES = np.arctanh(np.clip(_EDGES, -MOST_COSINE, MOST_COSINE))
# If more of the tail is missing, its form cannot be told.
_MOST_MISSING = 0.1
_LEAST_SHARE = 0.1
_MOST_SHARE = 0.1
_LEAST_BINS = 5  # of the tail, for its form
# The shape of impostor tails in Fisher's z: -0.15 to 0.05 for the miniature pack and for a small
# pack on photographs. A truncated tail alone tells it badly.
_SHAPE, _SHAPE_SPREAD = -0.05, 0.1

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Counts of impostor scores that were under one threshold.

    Attributes:
        below: Number of the first bin that was not counted, 1 to BINS.
        counts: int64 [BINS].
    """

    below: int
    counts: Counts

    @classmethod
    def of(cls, below: int, counts: Mapping[int, int]) -> ScoreHistogram:
        """Return a histogram from the number of scores by bin; impossible ones are left out."""
        filled, below = np.zeros(BINS, np.int64), min(max(below, 1), BINS)
        for number, count in counts.items():
            if 0 <= number < below and count > 0:
                filled[number] = count
        return cls(below, filled)


def bins_of(cosines: npt.NDArray[np.floating]) -> Counts:
    """Return the numbers of the bins of cosines, int64 of the same shape."""
    numbers = np.floor((np.asarray(cosines, np.float64) + 1) / 2 * BINS).astype(np.int64)
    return np.clip(numbers, 0, BINS - 1)


def calibrate_histograms(
    folds: Sequence[Sequence[ScoreHistogram]], pack_sha256: str, source: str, clusters: int
) -> Calibration:
    """Compute a calibration from histograms: thresholds, but no likelihood ratios.

    Args:
        folds: Histograms of disjoint sets of files. The scores of one file are dependent, so the
            uncertainty of the tail is estimated by resampling folds.
        clusters: How many faces were compared.

    Raises:
        CalibrationImpossible: There are too few scores.
    """
    if not folds:
        raise CalibrationImpossible(
            "no scanned file that shows nobody was counted with this face pack yet; scan files "
            "while somebody is registered, then run it again"
        )
    together = [histogram for fold in folds for histogram in fold]
    count = sum(int(histogram.counts.sum()) for histogram in together)
    tail = fit_histograms(together)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(folds), size=(REPLICATES, len(folds)))
    replicates = []
    for numbers in drawn:
        try:
            replicates.append(fit_histograms([one for number in numbers for one in folds[number]]))
        except CalibrationImpossible:
            continue
    if len(replicates) < REPLICATES // 2:
        raise CalibrationImpossible("too few files were counted to tell how sure the threshold is")
    return Calibration(
        pack_sha256=pack_sha256,
        source=source,
        subjects=clusters,
        comparisons=count,
        tail=tail,
        replicates=tuple(replicates),
        basis=Basis.SCANS,
        seen_rate=_seen_rate(together, tail),
    )


def _seen_rate(histograms: Sequence[ScoreHistogram], tail: Tail) -> float:
    """Return the FMR at the highest threshold under which a tenth of all scores was counted."""
    least = _LEAST_SHARE * sum(int(one.counts.sum()) for one in histograms)
    counted = 0
    for one in sorted(histograms, key=lambda histogram: -histogram.below):
        counted += int(one.counts.sum())
        if counted >= least:
            return tail.false_match_rate(float(_EDGES[one.below]))
    return 1.0


def fit_histograms(histograms: Sequence[ScoreHistogram]) -> Tail:
    """Fit the tail of impostor scores to histograms.

    Raises:
        CalibrationImpossible: There are too few scores.
    """
    whole = sum((one.counts for one in histograms), np.zeros(BINS, np.int64))
    exceedances, most = exceedances_for(int(whole.sum())), int(whole.sum() * LARGEST_TAIL_SHARE)
    tail = None
    while exceedances <= most:
        start = int(np.flatnonzero(np.cumsum(whole[::-1])[::-1] >= exceedances)[-1])
        if seen := [one for one in histograms if one.below > start + _LEAST_BINS]:
            tail = _fitted(seen, start, whole)
            last = min(one.below for one in seen)
            missing = tail.false_match_rate(float(_EDGES[last])) / tail.share
            if missing <= _MOST_MISSING:
                return tail
        exceedances *= 2
    if tail is None:
        raise CalibrationImpossible(
            "too few scores lie well under the thresholds at which files were findings; scan more "
            "files, or calibrate with labelled photos"
        )
    return tail


def _fitted(histograms: Sequence[ScoreHistogram], start: int, whole: Counts) -> Tail:
    """Fit shape and scale of the tail that begins with the bin `start`."""
    from scipy.optimize import minimize
    from scipy.stats import genpareto

    excess = _Z_EDGES[start:] - _Z_EDGES[start]
    merged: dict[int, Counts] = {}
    for one in histograms:
        merged[one.below] = merged.get(one.below, np.zeros(BINS, np.int64)) + one.counts

    def lost(parameters: npt.NDArray[np.float64]) -> float:
        shape, log_scale = parameters
        above = genpareto.sf(excess, shape, scale=np.exp(log_scale))
        inside = np.maximum(above[:-1] - above[1:], 1e-300)
        cost = (shape - _SHAPE) ** 2 / (2 * _SHAPE_SPREAD**2)
        for below, counts in merged.items():
            last = below - start
            own = counts[start:below]
            cost -= own @ np.log(inside[:last])
            cost += own.sum() * np.log(max(1 - above[last], 1e-300))
        return float(cost)

    found = minimize(lost, np.array([_SHAPE, np.log(0.05)]), method="Nelder-Mead")
    shape, scale = float(found.x[0]), float(np.exp(found.x[1]))
    expected = sum(
        counts[start:below].sum() / (1 - genpareto.sf(excess[below - start], shape, scale=scale))
        for below, counts in merged.items()
    )
    share = float(expected / sum(counts.sum() for counts in merged.values()))
    if not 0 < share < _MOST_SHARE or not np.isfinite([shape, scale]).all():
        raise CalibrationImpossible(
            "the scores lie in too few bins to fit a tail; scan more files, or calibrate with "
            "labelled photos"
        )
    return Tail(float(_Z_EDGES[start]), share, shape, scale, body_of(whole, _EDGES, share))
