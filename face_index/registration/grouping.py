"""Which of somebody's photos show faces that are alike, and which fall apart into several people.

Leave-one-out finds one photo of somebody else among many. Where a second person comes with photos of their own,
each of those has another to lean on, and the mean of the others is half theirs; so groups are compared with groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from face_index.gallery.calibration import Calibration

# Two groups of photos count as two people where their means are less alike than templates of different people are
# once in so many comparisons: the rate at which two registered people are taken for one as well
# (benchmarks/face_index/mixtures.py).
DIFFERENT_PEOPLE_FMR = 0.001
# Without a calibration: real same-person pairs of one small pack had a cosine of at least 0.46 (25 public photographs).
UNCALIBRATED_ALIKE = 0.4
MIN_PHOTOS_OF_A_PERSON = 2  # a single photo that is like no other is a stray one

Groups = list[list[int]]


def alike_from(calibration: Calibration | None) -> float:
    """The cosine from which on the means of two groups of photos may show one person."""
    if calibration is None:
        return UNCALIBRATED_ALIKE
    return calibration.tail.cosine_at(DIFFERENT_PEOPLE_FMR)


def groups_of(vectors: npt.NDArray[np.floating], alike: float) -> Groups:
    """Rows that are alike, each group in order, largest group first.

    The two groups whose means are most alike become one, again and again, until no two means reach `alike`.

    Args:
        vectors: float [n, d], unit rows.
        alike: cosine, see `alike_from`.
    """
    groups = [[row] for row in range(len(vectors))]
    while len(groups) > 1:
        cosines = _cosines(vectors, groups)
        np.fill_diagonal(cosines, -2)
        one, other = sorted(divmod(int(cosines.argmax()), len(groups)))
        if cosines[one, other] < alike:
            break
        groups[one] += groups.pop(other)
    return sorted(map(sorted, groups), key=lambda group: (-len(group), group))


def people_in(groups: Groups) -> Groups:
    """The groups that show a person each: those of several photos, if there are several of them."""
    people = [group for group in groups if len(group) >= MIN_PHOTOS_OF_A_PERSON]
    return people if len(people) > 1 else []


def closest_cosine(vectors: npt.NDArray[np.floating], groups: Groups) -> float:
    """The cosine between the means of those two of several groups that are most alike."""
    cosines = _cosines(vectors, groups)
    return float(cosines[np.triu_indices(len(groups), 1)].max())


def _cosines(vectors: npt.NDArray[np.floating], groups: Groups) -> npt.NDArray[np.float64]:
    sums = np.stack([np.asarray(vectors[group], np.float64).sum(axis=0) for group in groups])
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return np.asarray(means @ means.T)
