"""Likelihood ratios from genuine and impostor scores.

Log-likelihood-ratios are an affine function of Fisher's z fitted by logistic regression (Brümmer &
du Preez 2006). The library lir is not used here: the penalty of its logistic regression changes its
weight with the number of scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.errors import CalibrationImpossible
from face_index.gallery.metrics import cllr, minimal_cllr
from face_index.gallery.tail import MOST_COSINE, fisher_z

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """log10 LR = slope * z + offset, within bounds that the data supports.

    Attributes:
        slope, offset: Of the affine map.
        lowest, highest: Bounds; there were no scores beyond them.
        cllr: Cost of log-likelihood-ratio on the persons left out of the fit, bits (0 is perfect, 1
            useless).
        cllr_min: The same after the best possible monotone calibration; the difference is the
            calibration loss.
    """

    slope: float
    offset: float
    lowest: float
    highest: float
    cllr: float
    cllr_min: float

    def log10(self, cosine: float) -> float:
        return float(
            np.clip(self.slope * fisher_z(cosine) + self.offset, self.lowest, self.highest)
        )


def fit_likelihood_ratio(
    genuine: Floats, impostor: Floats, rng: np.random.Generator
) -> LikelihoodRatio:
    """Fit logistic regression to half of the scores, and compute Cllr on the other half.

    Genuine and impostor scores have the same prior weight.

    Args:
        genuine, impostor: Cosines, float [n].

    Raises:
        CalibrationImpossible: There are fewer than 20 genuine or 100 impostor scores.
    """
    if len(genuine) < 20 or len(impostor) < 100:
        raise CalibrationImpossible(
            f"{len(genuine)} genuine and {len(impostor)} impostor scores are too few for "
            "likelihood ratios (20 and 100)"
        )
    same, other = (
        np.arctanh(np.clip(scores, -MOST_COSINE, MOST_COSINE)) for scores in (genuine, impostor)
    )
    same, other = rng.permutation(same), rng.permutation(other)
    slope, offset = _logistic(same[::2], other[::2])
    # A ratio beyond the number of comparisons would be unsupported (Vergeer et al. 2016).
    lowest, highest = -float(np.log10(len(genuine) + 1)), float(np.log10(len(impostor) + 1))

    def log10(z: Floats) -> Floats:
        return np.asarray(np.clip((slope * z + offset) / np.log(10), lowest, highest))

    held_out = log10(same[1::2]), log10(other[1::2])
    return LikelihoodRatio(
        float(slope / np.log(10)),
        float(offset / np.log(10)),
        lowest,
        highest,
        cllr(*held_out),
        minimal_cllr(*held_out),
    )


def _logistic(same: Floats, other: Floats) -> tuple[float, float]:
    def cost(parameters: Floats) -> float:
        slope, offset = parameters
        lost = (
            np.logaddexp(0, -(slope * same + offset)).mean()
            + np.logaddexp(0, slope * other + offset).mean()
        )
        return float(lost + 1e-4 * slope**2)  # separable scores have no finite optimum

    from scipy.optimize import minimize

    found = minimize(cost, np.array([5.0, -2.0]), method="Nelder-Mead", options={"maxiter": 2000})
    return float(found.x[0]), float(found.x[1])
