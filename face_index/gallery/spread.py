"""How much single images of one person scatter around their mean, as angles to a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Vector

Floats = npt.NDArray[np.floating]
_LEAST_PERSONS = 35
# More would claim that all people scatter alike.
_MOST_FREEDOM = 30.0


@dataclass(frozen=True, slots=True)
class Spread:
    """The scatter of single images of a person, for intervals of a few images.

    Attributes:
        angle: Standard deviation of one image's contribution to the angle between the mean and a
            template, radians.
        freedom: So many degrees of freedom it is worth, the fewer the more people differ in it
            (a scaled inverse chi-squared prior: Gelman et al., Bayesian Data Analysis, 2.6).
    """

    angle: float
    freedom: float


def spread_of(persons: Iterable[tuple[Floats, Vector]]) -> Spread | None:
    """Compute the scatter from the images of many people.

    Args:
        persons: Of each person the images, float [n, d], unit rows, n at least 6 (of
            fewer the jackknife overestimates), and a template from other images.

    Returns:
        None for fewer than 35 people.
    """
    found = []
    for vectors, template in persons:
        count = len(vectors)
        _, error = jackknifed_angle(vectors[None], template, np.ones(count))
        found.append((count, count * float(error[0]) ** 2))
    if len(found) < _LEAST_PERSONS:
        return None
    counts, variances = np.array(found).T
    mean = float(np.average(variances, weights=counts - 1))
    # The variance of the estimates is that between people and that of estimating.
    noise = 2 / float(np.mean(counts - 1))
    between = max((float(np.var(variances)) / mean**2 - noise) / (1 + noise), 0.0)
    freedom = 4 + 2 / between if between > 0 else _MOST_FREEDOM
    return Spread(float(np.sqrt(mean)), min(freedom, _MOST_FREEDOM))


def jackknifed_angle(vectors: Floats, template: Vector, weights: Floats) -> tuple[Floats, Floats]:
    """Return the angle between true mean and template and its standard error, both in radians.

    The computation is vectorised over sets of samples.

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
    """Return the angle from sums of vectors.

    Its cosine is the mean's component along the template over the unbiased length of the true mean.
    """
    length = np.sqrt(np.maximum((squared - squares) / (weight**2 - squares), 1e-6))
    return np.asarray(np.arccos(np.clip(along / weight / length, -1, 1)))
