"""Computing a template from several photos of one person.

A template has one or more prototypes: weighted means, with one for each appearance. Photos of other
people are refused before this (face_index.registration.photo_checks). Each of the others is
weighted by the length of its embedding times its cosine to the mean of the others. Excluding
outliers by their median deviation instead lost poor photos of the right person and raised FNIR
(benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Face, Prototypes, unit
from face_index.gallery.exact_gallery import MOST_PROTOTYPES

# Two appearances (such as with and without dark glasses) get prototypes of their own if their means
# are less similar than this and each is in enough photos not to be an accident
# (benchmarks/face_index/templates.py).
MAX_COSINE_BETWEEN_APPEARANCES = 0.6
MIN_PHOTOS_OF_AN_APPEARANCE = 3


def make_prototypes(faces: Sequence[Face]) -> Prototypes:
    """Compute the template of one person: float32 [p, d], unit rows.

    Most people get one row. A person with several appearances gets one row for all photos together
    and one for each appearance, since samples of a model may show one of them or a mixture.

    Args:
        faces: Of one person, at least one.
    """
    vectors = np.stack([face.embedding for face in faces]).astype(np.float64)
    norms = np.asarray([face.norm for face in faces], np.float64)
    everyone = np.arange(len(faces))
    appearances = appearances_in(vectors)
    groups = [everyone, *appearances] if len(appearances) > 1 else [everyone]
    return np.stack([unit(_weights(vectors[rows], norms[rows]) @ vectors[rows]) for rows in groups])


def _weights(
    vectors: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weight by length, which is quality (Meng et al., MagFace, CVPR 2021), and by agreement."""
    weights = norms
    for _ in range(2):
        weighted = weights[:, None] * vectors
        others = weighted.sum(axis=0) - weighted
        lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        agreed = norms * np.clip((vectors * others).sum(axis=1) / lengths, 0, None)
        weights = agreed if agreed.any() else norms
    return weights


def plain_mean(faces: Sequence[Face]) -> Prototypes:
    """Return the mean of all vectors as one prototype, the baseline for `make_prototypes`."""
    return unit(np.mean([face.embedding for face in faces], axis=0))[None]


def appearances_in(vectors: npt.NDArray[np.float64]) -> list[npt.NDArray[np.int64]]:
    """Return the rows of each appearance, most photos first; one group of all rows if there is one.

    An appearance in too few photos does not count.

    Args:
        vectors: float64 [n, d], unit rows.
    """
    everyone = np.arange(len(vectors))
    if len(vectors) < 2 * MIN_PHOTOS_OF_AN_APPEARANCE:
        return [everyone]
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(
        linkage(vectors, "average", "cosine"), 1 - MAX_COSINE_BETWEEN_APPEARANCES, "distance"
    )
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = sorted(
        (group for group in groups if len(group) >= MIN_PHOTOS_OF_AN_APPEARANCE),
        key=len,
        reverse=True,
    )
    return kept[: MOST_PROTOTYPES - 1] if len(kept) > 1 else [everyone]
