"""The search for the identities that the faces of one subject may show.

Faces are clustered, and the mean vector of each cluster is searched in the gallery. A subject is a
checkpoint with its samples or an account with its captured images. Both use this code, so that the
same rule decides both. Vectors stay in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Vector, unit
from face_index.gallery.spread import Spread
from scanner.identification.clusters import Cluster, clusters_of
from scanner.identification.intervals import Estimate, estimate
from scanner.identification.policy import Schedule
from scanner.identification.samples import SampleFace
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored
from scanner.records import Question


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """A cluster of faces and the identity closest to it.

    Attributes:
        members: positions of the faces that were compared.
        probe: their mean vector, weighted if weights were given; unit length.
        concentration: length of the cluster's mean vector before normalising, 0 to 1.
        share: members divided by all faces, or by all pictures if their number was given.
        runner_up: score of the next closest identity, None if there is none.
    """

    identity_id: str
    members: tuple[int, ...]
    probe: Vector
    concentration: float
    share: float
    estimate: Estimate
    runner_up: float | None

    def question(self, faces: Sequence[SampleFace]) -> Question:
        """Return the question of most of the members, which are positions in `faces`."""
        counted = Counter(faces[number].question for number in self.members)
        return counted.most_common(1)[0][0]

    def scored(self, snapshot: GallerySnapshot, control_score: float | None) -> Scored:
        """Return the input of the decision.

        Args:
            control_score: cosine of the controls' mean face and the identity's template; None
                without controls.
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


def all_members(cluster: Cluster) -> Sequence[int]:
    """Return all members of a cluster, for faces that are independent observations."""
    return cluster.members


def probe_of(rows: npt.NDArray[np.floating], weights: npt.NDArray[np.floating] | None) -> Vector:
    """Return the mean of unit vectors, float [n, d], as a unit vector."""
    return unit(rows.mean(axis=0) if weights is None else weights @ rows)


def search_clusters(
    vectors: Sequence[Vector],
    snapshot: GallerySnapshot,
    min_members: int,
    schedule: Schedule,
    *,
    weights: Sequence[float] | None = None,
    choose: Callable[[Cluster], Sequence[int]] = all_members,
    pictures: int | None = None,
    spread: Spread | None = None,
) -> tuple[ClusterMatch, ...]:
    """Cluster faces and search the mean of each cluster in the gallery.

    The result has at most one match per identity, the highest score first.

    Args:
        vectors: unit vectors of usable faces.
        min_members: minimum number of compared faces in a cluster; at least two.
        weights: weights of the faces in the mean, positive; None for equal weights.
        choose: selects the members of a cluster that are compared, if several may come from one
            picture.
        pictures: number of pictures that the faces come from, if a picture may hold several.
        spread: how photographs of a person scatter, for intervals of a few.
    """
    best: dict[str, ClusterMatch] = {}
    for cluster in clusters_of(vectors, min_members):
        chosen = tuple(choose(cluster))
        if len(chosen) < min_members:
            continue
        rows = np.stack([vectors[member] for member in chosen])
        own = None if weights is None else np.array([weights[member] for member in chosen])
        probe = probe_of(rows, own)
        closest = snapshot.closest(probe)
        if not closest:
            continue
        identity_id = closest[0].identity_id
        template = snapshot.gallery.vector_of(identity_id, probe)
        measured = estimate(rows, template, schedule, own, spread)
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
    return tuple(sorted(best.values(), key=lambda match: -match.estimate.score))
