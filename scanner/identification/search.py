"""Identities that the faces of one subject may show: faces to clusters, clusters to a search of the gallery.

A subject is a checkpoint with its samples or an account with its captured images. Both use this code, so
that both are decided by the same rule. Vectors stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from face_index.faces.face import Vector, unit
from scanner.identification.clusters import Cluster, clusters_of
from scanner.identification.intervals import Estimate, estimate
from scanner.identification.policy import Schedule
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """A cluster of faces and the identity closest to it.

    Attributes:
        members: positions of the faces that were compared.
        probe: their mean vector, weighted if weights were given; unit length.
        concentration: length of the cluster's mean vector before normalising, 0 to 1.
        share: of all faces, or of all pictures where their number was given, 0 to 1.
        runner_up: score of the next closest identity, None if there is none.
    """

    identity_id: str
    members: tuple[int, ...]
    probe: Vector
    concentration: float
    share: float
    estimate: Estimate
    runner_up: float | None

    def scored(self, snapshot: GallerySnapshot, control_score: float | None) -> Scored:
        """What the decision is made from.

        Args:
            control_score: cosine of the controls' mean face to the identity, None without controls.
        """
        return Scored(
            self.estimate.score,
            self.estimate.interval,
            control_score,
            self.runner_up,
            snapshot.log10_lr(self.estimate.score),
            self.concentration,
            self.share,
        )


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of one search.

    Attributes:
        matches: at most one per identity, the highest score first.
        clusters: number of clusters, whether or not anybody is close to them.
    """

    matches: tuple[ClusterMatch, ...]
    clusters: int


def all_members(cluster: Cluster) -> Sequence[int]:
    """The members of a cluster that are compared where each face is an observation of its own."""
    return cluster.members


def search_clusters(
    vectors: Sequence[Vector],
    snapshot: GallerySnapshot,
    min_members: int,
    schedule: Schedule,
    *,
    weights: Sequence[float] | None = None,
    choose: Callable[[Cluster], Sequence[int]] = all_members,
    pictures: int | None = None,
) -> SearchResult:
    """Cluster faces and search the mean of each cluster in the gallery.

    Args:
        vectors: unit vectors of usable faces.
        min_members: faces that must be compared for a cluster to count; at least two.
        weights: of the faces in the mean, positive; equal ones if not given.
        choose: the members of a cluster that are compared, where several may come from one picture.
        pictures: number of pictures that the faces come from, where a picture may hold several.
    """
    clusters = clusters_of(vectors, min_members)
    best: dict[str, ClusterMatch] = {}
    for cluster in clusters:
        chosen = tuple(choose(cluster))
        if len(chosen) < min_members:
            continue
        rows = np.stack([vectors[member] for member in chosen])
        own = None if weights is None else np.array([weights[member] for member in chosen])
        probe = unit(rows.mean(axis=0) if own is None else own @ rows)
        closest = snapshot.closest(probe)
        if not closest:
            continue
        identity_id = closest[0].identity_id
        template = snapshot.gallery.vector_of(identity_id, probe)
        measured = estimate(rows, template, schedule, own)
        if identity_id not in best or measured.score > best[identity_id].estimate.score:
            best[identity_id] = ClusterMatch(
                identity_id,
                chosen,
                probe,
                cluster.concentration,
                len(chosen) / max(1, len(vectors) if pictures is None else pictures),
                measured,
                closest[1].score if len(closest) > 1 else None,
            )
    ranked = sorted(best.values(), key=lambda match: -match.estimate.score)
    return SearchResult(tuple(ranked), len(clusters))
