"""Grouping faces of several photos by similarity; faces of one photo are different people.

Groups are merged by the average cosine of all their pairs (average linkage). The cosine of two
means grows with the number of photos, and so would the number of people that are taken for one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from face_index.gallery.calibration import Calibration

# Two groups of photos may show one person if the average cosine of their pairs reaches the
# threshold that comparisons of different people exceed at this rate. Of 0.001, 0.002, 0.003 and
# 0.004, a lower rate questions more single people, and a higher one takes more pairs of people for
# one person (development people of benchmarks/face_index/mixtures.py and bystanders.py).
DIFFERENT_PEOPLE_FMR = 0.003
# Without a calibration: that threshold on LFW with a small pack. Larger packs have lower ones.
UNCALIBRATED_ALIKE = 0.29

Groups = list[list[int]]


def alike_from(calibration: Calibration | None) -> float:
    """Return the average cosine from which on two groups of photos may show one person."""
    if calibration is None:
        return UNCALIBRATED_ALIKE
    return calibration.tail.cosine_at(DIFFERENT_PEOPLE_FMR)


def groups_of(
    vectors: npt.NDArray[np.floating], alike: float, photos: npt.NDArray[np.int64] | None = None
) -> Groups:
    """Return groups of similar rows, each group in order, the largest group first.

    The two groups with the highest average cosine are merged, until no two reach `alike`.

    Args:
        vectors: float [n, d], unit rows.
        alike: Average cosine, see `alike_from`.
        photos: int [n], the photo of each row; rows of one photo are never in one group. By default
            each row has a photo of its own.
    """
    count = len(vectors)
    cosines = np.asarray(vectors @ vectors.T, np.float64)
    apart = np.eye(count, dtype=bool)
    if photos is not None:
        apart |= photos[:, None] == photos[None, :]
    groups = {row: [row] for row in range(count)}
    cosines[apart] = -np.inf
    while len(groups) > 1:
        first, second = sorted(divmod(int(cosines.argmax()), count))
        if cosines[first, second] < alike:
            break
        sizes = len(groups[first]), len(groups[second])
        merged = np.average(cosines[[first, second]], axis=0, weights=sizes)
        groups[first] += groups.pop(second)
        cosines[first], cosines[:, first] = merged, merged
        cosines[second], cosines[:, second] = -np.inf, -np.inf
        cosines[first, first] = -np.inf
    return sorted(map(sorted, groups.values()), key=lambda group: (-len(group), group))


def average_cosine(vectors: npt.NDArray[np.floating], first: list[int], second: list[int]) -> float:
    """Return the average cosine of all pairs of two groups of rows."""
    return float(np.asarray(vectors[first] @ vectors[second].T, np.float64).mean())
