"""Whom the faces of one checkpoint's samples may show: clusters searched in the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_index.faces.face import Vector, unit
from scanner.identification.clusters import clusters_of
from scanner.identification.intervals import Estimate, Schedule, estimate
from scanner.identification.snapshot import Watch
from scanner.sampling.draw import Shot


@dataclass(frozen=True, slots=True)
class Depiction:
    """Whom a cluster of samples may depict: the identity closest to it, each identity once.

    Attributes:
        members: positions of the cluster's samples among the shots.
        probe: their weighted mean, unit length.
        concentration: length of the mean before that, 0 to 1.
        share: of all usable faces, 0 to 1.
        runner_up: score of the next closest identity, None if there is none.
    """

    identity_id: str
    members: tuple[int, ...]
    probe: Vector
    concentration: float
    share: float
    estimate: Estimate
    runner_up: float | None


def usable(shots: Sequence[Shot]) -> list[int]:
    """Positions of the shots with a usable face."""
    return [number for number, shot in enumerate(shots) if shot.face is not None]


def depictions(
    shots: Sequence[Shot], watch: Watch, min_members: int, schedule: Schedule
) -> tuple[list[Depiction], int]:
    """The identity closest to each cluster, each once, the highest score first; and how many clusters there are."""
    numbers = usable(shots)
    vectors = [_vector(shots[number]) for number in numbers]
    found = clusters_of(vectors, min_members)
    best: dict[str, Depiction] = {}
    for cluster in found:
        rows = np.stack([vectors[member] for member in cluster.members])
        weights = np.array([shots[numbers[member]].quality for member in cluster.members])
        probe = unit(weights @ rows)
        closest = watch.closest(probe)
        if not closest:
            continue
        identity_id = closest[0].identity_id
        scored = estimate(rows, watch.gallery.vector_of(identity_id, probe), schedule, weights)
        if identity_id not in best or scored.score > best[identity_id].estimate.score:
            best[identity_id] = Depiction(
                identity_id,
                tuple(numbers[member] for member in cluster.members),
                probe,
                cluster.concentration,
                len(cluster.members) / len(numbers),
                scored,
                closest[1].score if len(closest) > 1 else None,
            )
    return sorted(best.values(), key=lambda depiction: -depiction.estimate.score), len(found)


def control_score(shots: Sequence[Shot], depiction: Depiction, template: Vector) -> float | None:
    """Cosine of the controls' mean face to a template; None if fewer than two controls show one."""
    faces = [
        face.embedding
        for number in depiction.members
        if (face := shots[number].control_face) is not None
    ]
    return float(unit(np.mean(faces, axis=0)) @ template) if len(faces) >= 2 else None


def _vector(shot: Shot) -> Vector:
    if shot.face is None:
        raise ValueError("only usable faces have a vector")
    return shot.face.embedding
