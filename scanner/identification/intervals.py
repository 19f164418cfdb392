"""Repeated confidence intervals of a checkpoint's score, by which sampling decides when to stop.

An ordinary 95 % interval that is computed again while data grow errs in far more than 5 % of cases.
A repeated confidence interval (Jennison & Turnbull 1989) covers the true score in all analyses
together with the stated probability: each analysis uses Student's t at one level p* (Pocock 1977,
in p-values).

The true score is the cosine of the mean of infinitely many samples. The mean of n noisy unit
vectors is longer than the true mean, because its squared length contains n times the noise. The
estimate removes that bias (a U-statistic over pairs). Its standard error is a delete-one jackknife
of the angle, whose distribution is closer to normal than that of the cosine (Efron & Tibshirani
1993, chapter 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Vector, unit
from face_index.gallery.spread import Spread, jackknifed_angle
from scanner.identification.policy import Schedule

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its interval after one analysis.

    Attributes:
        score: cosine of the samples' weighted mean vector and the template.
        interval: repeated 95 % confidence interval of the true score; contains `score`.
        samples: number of samples.
    """

    score: float
    interval: tuple[float, float]
    samples: int


def estimate(
    vectors: Floats,
    template: Vector,
    schedule: Schedule,
    weights: Floats | None = None,
    spread: Spread | None = None,
) -> Estimate:
    """Score a cluster of sample vectors against a template.

    Args:
        vectors: float [n, d], unit rows.
        weights: float [n], positive; None for equal weights.
        spread: how single images of a person scatter, which a few images cannot say themselves.
    """
    count = len(vectors)
    shares = np.ones(count) if weights is None else np.asarray(weights / weights.mean(), np.float64)
    total = shares @ vectors
    score = float(unit(total) @ template)
    if count < 3:
        return Estimate(score, (-1.0, 1.0), count)
    middle, error = jackknifed_angle(vectors[None], template, shares)
    from scipy.stats import t as student

    squared, freedom = float(error[0]) ** 2, float(count - 1)
    if spread is not None:
        total_freedom = spread.freedom + freedom
        prior = spread.freedom * spread.angle**2 / count
        squared = (prior + freedom * squared) / total_freedom
        freedom = total_freedom
    reach = float(student.ppf(1 - schedule.level / 2, freedom)) * np.sqrt(squared)
    angle = float(middle[0])
    low, high = np.cos(min(np.pi, angle + reach)), np.cos(max(0.0, angle - reach))
    return Estimate(score, (float(min(low, score)), float(max(high, score))), count)
