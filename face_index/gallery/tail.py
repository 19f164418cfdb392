"""The distribution of impostor scores: counted where there are many, extrapolated above.

Cosines are converted to Fisher's z (artanh), where the upper tail of impostor scores is nearly
exponential. A generalised Pareto distribution is fitted to that tail (peaks over threshold:
Pickands 1975; for biometric scores e.g. Scheirer et al., Meta-Recognition, TPAMI 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.errors import CalibrationImpossible
from face_index.gallery.impostors import ImpostorScores, quantiles_of

Floats = npt.NDArray[np.floating]
# Share of impostor comparisons in the fitted tail. Of 1e-3, 3e-4, 1e-4 and 3e-5, the rates on
# held-out drawn persons were closest with 1e-4; small sets need a larger share.
_TAIL_SHARE = 1e-4
_LEAST_EXCEEDANCES = 300
LARGEST_TAIL_SHARE = 0.02
_BODY_LEVELS = 12
MOST_COSINE = 0.999999


@dataclass(frozen=True, slots=True)
class Tail:
    """The distribution of impostor scores: a fitted tail, and counted rates below its start.

    Attributes:
        start: Fisher z above which the tail is modelled.
        share: Share of impostor comparisons above `start`, 0 to 1.
        shape, scale: Of the generalised Pareto distribution of the excess in z.
        body: Fisher z and FMR of some scores below the start, by rising z; small galleries need
            them.
    """

    start: float
    share: float
    shape: float
    scale: float
    body: tuple[tuple[float, float], ...]

    def false_match_rate(self, cosine: float, crowding: float = 1.0) -> float:
        """Return the FMR at a cosine.

        Below the lowest score of the body, the FMR at that score is returned; the true one may be
        higher.
        """
        from scipy.stats import genpareto

        z = fisher_z(cosine)
        if z < self.start:
            rate = float(np.exp(np.interp(z, *self._body_curve())))
        else:
            rate = self.share * float(genpareto.sf(z - self.start, self.shape, scale=self.scale))
        return min(1.0, crowding * rate)

    def cosine_at(self, false_match_rate: float, crowding: float = 1.0) -> float:
        """Return the cosine at which a template of that crowding has that FMR."""
        from scipy.stats import genpareto

        rate = false_match_rate / crowding
        if rate >= self.share:
            z, log_rates = self._body_curve()
            return float(np.tanh(np.interp(-np.log(rate), -log_rates, z)))
        return float(
            np.tanh(self.start + genpareto.isf(rate / self.share, self.shape, scale=self.scale))
        )

    def _body_curve(self) -> tuple[Floats, Floats]:
        z, rates = np.transpose([*self.body, (self.start, self.share)])
        return z, np.log(rates)


def fisher_z(cosine: float) -> float:
    """Return the artanh of a cosine, finite at 1."""
    return float(fisher_z_of(np.array(cosine)))


def fisher_z_of(cosines: Floats) -> npt.NDArray[np.float64]:
    """Return the artanh of cosines, finite at 1, float64 of the same shape."""
    return np.asarray(np.arctanh(np.clip(cosines, -MOST_COSINE, MOST_COSINE)), np.float64)


def exceedances_for(comparisons: int) -> int:
    """Return how many of the highest scores the tail is fitted to.

    Raises:
        CalibrationImpossible: There are too few scores.
    """
    exceedances = max(_LEAST_EXCEEDANCES, int(comparisons * _TAIL_SHARE))
    exceedances = min(exceedances, int(comparisons * LARGEST_TAIL_SHARE))
    if exceedances < 20:
        raise CalibrationImpossible(
            f"{comparisons:,} impostor comparisons are too few to fit a tail; 1,000 are the "
            "least, 1,000,000 (1,000 persons) are good"
        )
    return exceedances


def fit_tail(scores: ImpostorScores) -> Tail:
    """Fit the tail of impostor cosines.

    Raises:
        CalibrationImpossible: There are too few scores.
    """
    exceedances = exceedances_for(scores.count)
    from scipy.stats import genpareto

    counts, edges = scores.histogram()
    from_top = np.cumsum(counts[::-1])[::-1]
    lowest = edges[int(np.flatnonzero(from_top > exceedances)[-1])]
    top, _, _ = scores.above(float(np.nextafter(lowest, -2)))
    top = np.sort(np.clip(top, -MOST_COSINE, MOST_COSINE))[-exceedances - 1 :]
    z = np.arctanh(top)
    shape, _, scale = genpareto.fit(z[1:] - z[0], floc=0)
    share = exceedances / scores.count
    body = body_of(counts, edges, share)
    return Tail(float(z[0]), share, float(shape), float(scale), body)


def body_of(
    counts: npt.NDArray[np.int64], edges: Floats, share: float
) -> tuple[tuple[float, float], ...]:
    """Return the body of a tail that holds that share of all scores, from a histogram."""
    rates = np.geomspace(0.5, share, _BODY_LEVELS)[:-1]
    levels = [fisher_z(cosine) for cosine in quantiles_of(counts, edges, rates)]
    return tuple(zip(levels, rates.tolist(), strict=True))


def resampled_tails(
    scores: ImpostorScores, tail: Tail, count: int, rng: np.random.Generator
) -> tuple[Tail, ...]:
    """Fit the tail of bootstrap samples of persons.

    Args:
        tail: Fitted to all persons.
        count: How many bootstrap samples.
    """
    from scipy.stats import genpareto

    persons = scores.persons
    weights = rng.multinomial(persons, np.full(persons, 1 / persons), size=count)
    if not count:
        return ()
    own = weights[:, : len(scores.probes)]
    pairs = own.sum(axis=1) * persons - np.square(own).sum(axis=1)
    levels = np.tanh([z for z, _ in tail.body])
    rates = _weighted_counts(scores, levels, weights) / pairs
    values, rows, columns = scores.above(float(np.tanh(tail.start)))
    excess = np.arctanh(np.clip(values, None, MOST_COSINE)) - tail.start
    found = []
    for number, weight in enumerate(weights):
        repeats = weight[rows] * weight[columns]
        drawn = np.sort(np.repeat(excess, repeats))
        shape, _, scale = (
            genpareto.fit(drawn, floc=0) if len(drawn) >= 20 else (tail.shape, 0, tail.scale)
        )
        body = tuple(
            (z, float(rate[number])) for (z, _), rate in zip(tail.body, rates, strict=True)
        )
        found.append(
            Tail(tail.start, len(drawn) / int(pairs[number]), float(shape), float(scale), body)
        )
    return tuple(found)


def _weighted_counts(
    scores: ImpostorScores, levels: Floats, weights: npt.NDArray[np.int64]
) -> Floats:
    """Count for each level and row of weights the comparisons above, float [levels, replicates]."""
    drawn = weights.astype(np.float32)
    counts = np.zeros((len(levels), len(weights)))
    for start, block in scores.blocks():
        own = drawn[:, start : start + len(block)]
        for number, level in enumerate(levels):
            above = (block > level).astype(np.float32)
            counts[number] += np.einsum("rn,nr->r", own, above @ drawn.T, dtype=np.float64)
    # At least half a comparison, since a rate of zero has no logarithm.
    return np.maximum(0.5, counts)
