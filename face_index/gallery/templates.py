"""Several photos of one person to one or more prototypes: weighted by quality and agreement, looks kept apart.

Photos of someone else are refused before this (enrolment, leave-one-out). What is left is trimmed softly: a photo
weighs by the length of its embedding times its cosine to the mean of the others. Cutting off outliers hard by
their median deviation threw away poor photos of the right person and raised FNIR (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Face, Prototypes, unit
from face_index.gallery.exact_gallery import MOST_PROTOTYPES

# Two looks (with and without dark glasses, say) are kept apart if their means are further apart than this
# and each shows in enough photos that neither is an accident (benchmarks/face_index/templates.py).
MAX_COSINE_BETWEEN_LOOKS = 0.6
MIN_PHOTOS_OF_A_LOOK = 3


def make_prototypes(faces: Sequence[Face]) -> Prototypes:
    """The template of one person: float32 [p, d], unit rows.

    One row for most people; where two or more looks are seen, one for all photos together and one for each look,
    because samples of a model may show one look or a mixture.

    Args:
        faces: of one person, at least one.
    """
    vectors = np.stack([face.embedding for face in faces]).astype(np.float64)
    norms = np.asarray([face.norm for face in faces], np.float64)
    everyone = np.arange(len(faces))
    apart = looks(vectors)
    groups = [everyone, *apart] if len(apart) > 1 else [everyone]
    return np.stack([unit(_weights(vectors[rows], norms[rows]) @ vectors[rows]) for rows in groups])


def _weights(
    vectors: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Length is quality (Meng et al., MagFace, CVPR 2021); agreement with the others is trust."""
    weights = norms
    for _ in range(2):
        weighted = weights[:, None] * vectors
        others = weighted.sum(axis=0) - weighted
        lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        agreed = norms * np.clip((vectors * others).sum(axis=1) / lengths, 0, None)
        weights = agreed if agreed.any() else norms
    return weights


def plain_mean(faces: Sequence[Face]) -> Prototypes:
    """The mean of all vectors as one prototype: what `make_prototypes` is measured against."""
    return unit(np.mean([face.embedding for face in faces], axis=0))[None]


def looks(vectors: npt.NDArray[np.float64]) -> list[npt.NDArray[np.int64]]:
    """Rows of each look, most photos first; one group of all rows if there is but one.

    A look that shows too seldom is none of its own.

    Args:
        vectors: float64 [n, d], unit rows.
    """
    everyone = np.arange(len(vectors))
    if len(vectors) < 2 * MIN_PHOTOS_OF_A_LOOK:
        return [everyone]
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(
        linkage(vectors, "average", "cosine"), 1 - MAX_COSINE_BETWEEN_LOOKS, "distance"
    )
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = sorted(
        (group for group in groups if len(group) >= MIN_PHOTOS_OF_A_LOOK), key=len, reverse=True
    )
    return kept[: MOST_PROTOTYPES - 1] if len(kept) > 1 else [everyone]
