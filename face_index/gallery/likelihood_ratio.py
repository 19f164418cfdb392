"""Likelihood ratios from genuine and impostor scores.

The ratio is that of two densities of Fisher's z. The impostors' is the fitted tail
(face_index.gallery.tail), which rests on all comparisons, and below its start a kernel density; the
genuine one is a kernel density. One further score that may lie anywhere is added to the kind that
it would speak against, so that no single misleading score refutes a stated ratio (after Vergeer et
al., Science & Justice 2016, on bounds of ratios that are extrapolated). If that changes which kind
the ratio supports, it is 1. Pool adjacent violators makes it monotone, and it ends at a third of
the number of comparisons (rule of three).

Pool adjacent violators alone and logistic regression, as the library lir has them, were tried too
(benchmarks/RESULTS.md): where the two kinds hardly overlap, logistic regression states 10^1 where
10^3 is observed, and pool adjacent violators states its bound nearly everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from face_index.errors import CalibrationImpossible
from face_index.gallery.impostors import ImpostorScores, row_products
from face_index.gallery.metrics import cllr, minimal_cllr
from face_index.gallery.tail import Tail, fisher_z_of, fit_tail

Floats = npt.NDArray[np.floating]

_GRID = np.linspace(-0.7, 2.0, 136)  # of Fisher's z: cosines from -0.6 to 0.964
_SAMPLE = 20_000  # impostor scores for the kernel density
_RULE_OF_THREE = 3
_HELD_OUT_SAMPLE = 200_000
_LEAST_GENUINE, _LEAST_IMPOSTORS = 20, 100
_NEARLY_ZERO = 1e-30
_BINS = np.array([-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, np.inf])


@dataclass(frozen=True, slots=True)
class Reliability:
    """Stated and observed ratios in one bin, on persons left out of the fit.

    Attributes:
        stated: Mean of the stated log10 LRs.
        observed: log10 of the ratio of the shares of genuine and impostor scores in the bin.
        low, high: 95 % interval of `observed`.
        genuine, impostor: How many scores there were.
    """

    stated: float
    observed: float
    low: float
    high: float
    genuine: int
    impostor: int


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """log10 LR as a function of Fisher's z, linear between the points of a curve.

    Attributes:
        curve: Fisher's z and log10 LR, by rising z; neither falls.
        cllr: Cost of log-likelihood-ratio on persons left out of the fit, bits (0 is perfect, 1
            useless).
        cllr_min: The same after the best possible monotone calibration; the difference is the
            calibration loss.
        reliability: Bins of stated ratios on persons left out of the fit, by rising ratio.
    """

    curve: tuple[tuple[float, float], ...]
    cllr: float
    cllr_min: float
    reliability: tuple[Reliability, ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest log10 LR that is stated."""
        return self.curve[0][1], self.curve[-1][1]

    def log10(self, cosine: float) -> float:
        """Return the log10 LR of a cosine."""
        return float(self.log10_of(np.array([cosine]))[0])

    def log10_of(self, cosines: Floats) -> npt.NDArray[np.float64]:
        """Return the log10 LRs of cosines, float64 of the same shape."""
        z, ratios = np.transpose(self.curve)
        return np.asarray(np.interp(fisher_z_of(cosines), z, ratios))


def fit_likelihood_ratio(
    scores: ImpostorScores, tail: Tail, rng: np.random.Generator
) -> LikelihoodRatio:
    """Fit likelihood ratios to everybody's scores, and measure them by two-fold cross-validation.

    Args:
        scores: Row i of templates and of probes is person i.
        tail: Fitted to these scores.

    Raises:
        CalibrationImpossible: There are fewer than 20 genuine or 100 impostor scores.
    """
    if scores.persons < _LEAST_GENUINE or scores.count < _LEAST_IMPOSTORS:
        raise CalibrationImpossible(
            f"{scores.persons} genuine and {scores.count} impostor scores are too few for "
            "likelihood ratios (20 and 100)"
        )
    curve = _curve(scores, tail, rng)
    order = rng.permutation(scores.persons)
    halves = [scores.of(order[first::2]) for first in (0, 1)]
    held_out = [
        _log10_lrs(_curve(fitted, _tail_of(fitted, tail), rng), tried, rng)
        for fitted, tried in (halves, halves[::-1])
    ]
    genuine, impostor = (np.concatenate(values) for values in zip(*held_out, strict=True))
    return LikelihoodRatio(
        tuple(zip(_GRID.tolist(), curve.tolist(), strict=True)),
        cllr(genuine, impostor),
        minimal_cllr(genuine, impostor),
        reliability_of(genuine, impostor),
    )


def _tail_of(scores: ImpostorScores, whole: Tail) -> Tail:
    """Fit the tail of some of the persons, or take that of all if these are too few."""
    try:
        return fit_tail(scores)
    except CalibrationImpossible:
        return whole


def _curve(scores: ImpostorScores, tail: Tail, rng: np.random.Generator) -> Floats:
    """Return the log10 LR at each point of the grid."""
    from scipy.optimize import isotonic_regression
    from scipy.stats import genpareto

    genuine = fisher_z_of(row_products(scores.probes, scores.templates))
    above = tail.share * genpareto.pdf(_GRID - tail.start, tail.shape, scale=tail.scale)
    body = _kernel_density(fisher_z_of(scores.sample(_SAMPLE, rng)))
    own, others = _kernel_density(genuine), np.where(tail.start > _GRID, body, above)
    least = _log10(own) - _log10(_with_one_anywhere(others, scores.count))
    most = _log10(_with_one_anywhere(own, len(genuine))) - _log10(others)
    supported = np.where(least > 0, least, np.where(most < 0, most, 0.0))
    ratios = isotonic_regression(supported, weights=own + others + _NEARLY_ZERO).x
    lowest = -np.log10(max(len(genuine) / _RULE_OF_THREE, 1))
    found: Floats = np.clip(ratios, lowest, np.log10(scores.count / _RULE_OF_THREE))
    return found


def _log10(density: Floats) -> Floats:
    return np.asarray(np.log10(density + _NEARLY_ZERO))


def _kernel_density(values: Floats) -> Floats:
    """Return the density at each point of the grid (Silverman 1986, section 3.4.1)."""
    from scipy.stats import norm

    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std()), float(np.ptp(quartiles)) / 1.349)
    width = 1.06 * max(spread, 1e-3) * len(values) ** -0.2
    found: Floats = norm.pdf((_GRID[:, None] - values) / width).mean(axis=1) / width
    return found


def _with_one_anywhere(density: Floats, count: int) -> Floats:
    """Return the density after one more score that may lie anywhere on the grid."""
    return np.asarray((count * density + 1 / (_GRID[-1] - _GRID[0])) / (count + 1))


def _log10_lrs(
    curve: Floats, scores: ImpostorScores, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the log10 LRs of genuine and of impostor scores of other persons."""
    genuine = row_products(scores.probes, scores.templates)
    impostor = scores.sample(_HELD_OUT_SAMPLE, rng)
    return np.interp(fisher_z_of(genuine), _GRID, curve), np.interp(
        fisher_z_of(impostor), _GRID, curve
    )


def reliability_of(genuine: Floats, impostor: Floats) -> tuple[Reliability, ...]:
    """Compare stated with observed ratios in bins; empty bins are left out.

    Half a count is added to each, so that a bin without impostors gives a bound and not infinity.
    The intervals are those of Poisson counts.

    Args:
        genuine, impostor: Stated log10 LRs, float [n].
    """
    found = []
    for low, high in pairwise(_BINS):
        same = genuine[(genuine >= low) & (genuine < high)]
        other = impostor[(impostor >= low) & (impostor < high)]
        if not len(same) + len(other):
            continue
        observed = np.log10((len(same) + 0.5) / (len(genuine) + 1)) - np.log10(
            (len(other) + 0.5) / (len(impostor) + 1)
        )
        reach = 1.96 / np.log(10) * np.sqrt(1 / (len(same) + 0.5) + 1 / (len(other) + 0.5))
        # Both kinds count alike, as in Cllr; impostors are many more.
        stated = np.mean([values.mean() for values in (same, other) if len(values)])
        found.append(
            Reliability(
                float(stated),
                float(observed),
                float(observed - reach),
                float(observed + reach),
                len(same),
                len(other),
            )
        )
    return tuple(found)
