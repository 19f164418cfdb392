"""Several photos of one person to one or more prototypes: weighted by quality, different looks kept apart.

Outliers are trimmed before this: enrolment refuses a photo that does not look like the others (leave-one-out).
A second, finer trimming by median deviation was measured and dropped: it threw away poor photos of the
right person and raised FNIR (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from face_index.face import Face, Prototypes, unit
from face_index.gallery import MOST_PROTOTYPES

# Two looks (with and without dark glasses, say) are kept apart if their means are further apart than this
# and each shows in enough photos that neither is an accident (benchmarks/face_index/templates.py).
MAX_COSINE_BETWEEN_LOOKS = 0.6
MIN_PHOTOS_OF_A_LOOK = 3


def make_prototypes(faces: Sequence[Face]) -> Prototypes:
    """The template of one person: float32 [p, d], unit rows, one for each look; at least one.

    Args:
        faces: of one person, at least one.
    """
    vectors = np.stack([face.embedding for face in faces]).astype(np.float64)
    # Length is quality (Meng et al., MagFace, CVPR 2021): the sum of raw embeddings weighs by it.
    raw = vectors * np.asarray([[face.norm] for face in faces])
    return np.stack([unit(raw[rows].sum(axis=0)) for rows in looks(vectors)])


def plain_mean(faces: Sequence[Face]) -> Prototypes:
    """The mean of all vectors as one prototype: what `make_prototypes` is measured against."""
    return unit(np.mean([face.embedding for face in faces], axis=0))[None]


def looks(vectors: npt.NDArray[np.float64]) -> list[npt.NDArray[np.int64]]:
    """Rows of each look, most photos first; all rows if there is but one.

    A look that shows too seldom goes to no prototype: its photos would blur the others.

    Args:
        vectors: float64 [n, d], unit rows.
    """
    everyone = np.arange(len(vectors))
    if len(vectors) < 2 * MIN_PHOTOS_OF_A_LOOK:
        return [everyone]
    labels = fcluster(linkage(vectors, "average", "cosine"), 1 - MAX_COSINE_BETWEEN_LOOKS, "distance")
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = sorted((group for group in groups if len(group) >= MIN_PHOTOS_OF_A_LOOK), key=len, reverse=True)
    return kept[:MOST_PROTOTYPES] if len(kept) > 1 else [everyone]
