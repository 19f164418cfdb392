"""When enough samples have been seen: repeated confidence intervals of a checkpoint's score.

Looking again and again at growing data with an ordinary 95 % interval errs far more often than 5 %. A repeated
confidence interval (Jennison & Turnbull 1989) covers the true score at all looks together with the stated
probability; every look uses Student's t at one level p* that makes it so (Pocock 1977, in p-values).

The true score is the cosine that the mean of endlessly many samples would have. The mean of few is shorter of it: with n
noisy unit vectors the squared length of their sum is too large by n. The estimate takes that out (a U-statistic over
pairs), and its spread is a delete-one jackknife of the angle, whose distribution is nearer to the normal one than
the cosine's (Efron & Tibshirani 1993, chapter 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Vector, unit

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a growing set of samples is looked at.

    Attributes:
        per_look: samples that each look adds.
        looks: how many at most.
        level: two-sided level of each look that makes 5 % of all together; worked out by
            `python -m benchmarks.sequential levels`, checked by `python -m benchmarks.sequential`.
    """

    per_look: int
    looks: int
    level: float


SCREENING = Schedule(4, 2, 0.041)
EVIDENCE = Schedule(6, 4, 0.0225)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and what is known of it after one look.

    Attributes:
        score: cosine of the samples' weighted mean vector to the template.
        interval: repeated 95 % confidence interval of the true score; contains `score`.
        samples: how many went into it.
    """

    score: float
    interval: tuple[float, float]
    samples: int


def estimate(
    vectors: Floats, template: Vector, schedule: Schedule, weights: Floats | None = None
) -> Estimate:
    """Score a cluster of sample vectors against a template.

    Args:
        vectors: float [n, d], unit rows.
        weights: float [n], positive; equal ones if not given.
    """
    count = len(vectors)
    shares = np.ones(count) if weights is None else np.asarray(weights / weights.mean(), np.float64)
    total = shares @ vectors
    score = float(unit(total) @ template)
    if count < 3:
        return Estimate(score, (-1.0, 1.0), count)
    middle, error = jackknifed_angle(vectors[None], template, shares)
    from scipy.stats import t as student

    reach = float(student.ppf(1 - schedule.level / 2, count - 1)) * float(error[0])
    angle = float(middle[0])
    low, high = np.cos(min(np.pi, angle + reach)), np.cos(max(0.0, angle - reach))
    return Estimate(score, (float(min(low, score)), float(max(high, score))), count)


def jackknifed_angle(vectors: Floats, template: Vector, weights: Floats) -> tuple[Floats, Floats]:
    """Angle between true mean and template with its standard error, radians, for many sets of samples at once.

    Args:
        vectors: float [sets, n, d], unit rows; n at least 3.
        weights: float [n], mean 1.
    """
    count = vectors.shape[1]
    total = np.einsum("n,bnd->bd", weights, vectors)
    squared, along = np.square(total).sum(axis=-1), total @ template
    overlaps = np.einsum("bd,bnd->bn", total, vectors)
    cosines = vectors @ template
    whole = _angle(along, squared, weights.sum(), np.square(weights).sum())
    without = _angle(
        along[:, None] - weights * cosines,
        squared[:, None] - 2 * weights * overlaps + weights**2,
        weights.sum() - weights,
        np.square(weights).sum() - weights**2,
    )
    pseudo = count * whole[:, None] - (count - 1) * without
    return np.asarray(pseudo.mean(axis=1)), np.asarray(pseudo.std(axis=1, ddof=1) / np.sqrt(count))


def _angle(along: Floats, squared: Floats, weight: Floats, squares: Floats) -> Floats:
    """Angle from sums: the mean's part along the template over the unbiased length of the true mean."""
    length = np.sqrt(np.maximum((squared - squares) / (weight**2 - squares), 1e-6))
    return np.asarray(np.arccos(np.clip(along / weight / length, -1, 1)))
