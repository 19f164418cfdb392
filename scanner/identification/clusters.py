"""Clusters of faces of one subject that are the same face.

A merge can hold two people, and a style draws a different person in each sample. Vectors are
therefore clustered before the gallery is searched: average linkage on cosine distance, cut at one
fixed height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_index.faces.face import Vector, unit
from scanner.identification.policy import MIN_COSINE_WITHIN


@dataclass(frozen=True, slots=True)
class Cluster:
    """Vectors of the same face.

    Attributes:
        members: positions in the list of vectors.
        probe: normalised mean of the members' vectors.
        concentration: length of that mean before normalising, 0 to 1; close to 1 if all members are
            nearly the same vector.
    """

    members: tuple[int, ...]
    probe: Vector
    concentration: float


def clusters_of(vectors: Sequence[Vector], min_members: int) -> list[Cluster]:
    """Return the clusters of at least `min_members` vectors, the largest first."""
    if len(vectors) < max(2, min_members):
        return []
    stacked = np.stack(vectors)
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(stacked, "average", "cosine"), 1 - MIN_COSINE_WITHIN, "distance")
    found = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= min_members:
            mean = stacked[members].mean(axis=0)
            found.append(
                Cluster(
                    tuple(int(member) for member in members),
                    unit(mean),
                    float(np.linalg.norm(mean)),
                )
            )
    return sorted(found, key=lambda cluster: -len(cluster.members))
