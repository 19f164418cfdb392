"""Grouping the photos of an enrolment by similar faces, to find that they show several people.

Leave-one-out finds one photo of another person among many. It fails if a second person has several
photos, since the mean of the others is then partly theirs. Therefore groups are compared with
groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from face_index.gallery.calibration import Calibration

# Two groups of photos count as two people if their means are less similar than the threshold that
# templates of different people exceed at this rate. Lookalikes of registered people are found at
# the same rate (benchmarks/face_index/mixtures.py).
DIFFERENT_PEOPLE_FMR = 0.001
# Without a calibration. Real same-person pairs of one small pack had a cosine of at least 0.46 (25
# public photographs).
UNCALIBRATED_ALIKE = 0.4
MIN_PHOTOS_OF_A_PERSON = 2  # a single photo that is similar to no other is refused by itself

Groups = list[list[int]]


def alike_from(calibration: Calibration | None) -> float:
    """Return the cosine from which on the means of two groups of photos may show one person."""
    if calibration is None:
        return UNCALIBRATED_ALIKE
    return calibration.tail.cosine_at(DIFFERENT_PEOPLE_FMR)


def groups_of(vectors: npt.NDArray[np.floating], alike: float) -> Groups:
    """Return groups of similar rows, each group in order, the largest group first.

    The two groups with the most similar means are merged, until no two means reach `alike`.

    Args:
        vectors: float [n, d], unit rows.
        alike: Cosine, see `alike_from`.
    """
    groups = [[row] for row in range(len(vectors))]
    while len(groups) > 1:
        cosines = _cosines(vectors, groups)
        np.fill_diagonal(cosines, -2)
        first, second = sorted(divmod(int(cosines.argmax()), len(groups)))
        if cosines[first, second] < alike:
            break
        groups[first] += groups.pop(second)
    return sorted(map(sorted, groups), key=lambda group: (-len(group), group))


def people_in(groups: Groups) -> Groups:
    """Return the groups of several photos, if there are several: each shows one person."""
    people = [group for group in groups if len(group) >= MIN_PHOTOS_OF_A_PERSON]
    return people if len(people) > 1 else []


def closest_cosine(vectors: npt.NDArray[np.floating], groups: Groups) -> float:
    """Return the cosine between the two most similar means of several groups."""
    cosines = _cosines(vectors, groups)
    return float(cosines[np.triu_indices(len(groups), 1)].max())


def _cosines(vectors: npt.NDArray[np.floating], groups: Groups) -> npt.NDArray[np.float64]:
    sums = np.stack([np.asarray(vectors[group], np.float64).sum(axis=0) for group in groups])
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return np.asarray(means @ means.T)
