"""The gallery protocol, and an exact gallery in plain NumPy with which faster ones are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from face_index.errors import PackMismatch, UnknownIdentity
from face_index.faces.face import PackVersion, Prototypes, Vector

MOST_PROTOTYPES = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity that is similar to a probe.

    Attributes:
        score: Cosine of the probe and the identity's closest prototype; higher is closer.
    """

    identity_id: str
    score: float


class Gallery(Protocol):
    """Templates of one pack version that can be searched by probes."""

    version: PackVersion

    def __len__(self) -> int:
        """Return how many identities can be found."""

    def search(self, probes: Prototypes, count: int = 5) -> list[list[Candidate]]:
        """Return the closest identities for each probe, best first.

        Args:
            probes: float32 [n, d].
            count: How many identities; fewer are returned if the gallery has fewer.
        """

    def vector_of(self, identity_id: str, near: Vector) -> Vector:
        """Return the prototype of an identity that is closest to `near`; raises UnknownIdentity."""

    def add(self, identity_id: str, prototypes: Prototypes) -> None:
        """Add an identity, or replace its template."""

    def remove(self, identity_id: str) -> None:
        """Remove an identity; do nothing if it is unknown."""


def must_fit(version: PackVersion, prototypes: Prototypes) -> None:
    """Raise PackMismatch unless that pack can have computed these prototypes."""
    if prototypes.ndim != 2 or prototypes.shape[1] != version.dimension:
        raise PackMismatch(
            f"vectors of shape {prototypes.shape} do not come from pack {version.name}, whose "
            f"vectors have {version.dimension} values"
        )
    if not 1 <= len(prototypes) <= MOST_PROTOTYPES:
        raise PackMismatch(
            f"a template has 1 to {MOST_PROTOTYPES} prototypes, not {len(prototypes)}"
        )


class ExactGallery:
    """Computes all scores by one matrix product; the matrix is built for each search."""

    def __init__(self, version: PackVersion, templates: Iterable[tuple[str, Prototypes]]) -> None:
        self.version = version
        self._templates: dict[str, Prototypes] = {}
        for identity_id, prototypes in templates:
            self.add(identity_id, prototypes)

    def __len__(self) -> int:
        return len(self._templates)

    def search(self, probes: Prototypes, count: int = 5) -> list[list[Candidate]]:
        if not self._templates:
            return [[] for _ in probes]
        scores = np.stack(
            [(probes @ template.T).max(axis=1) for template in self._templates.values()], axis=1
        )
        ids = list(self._templates)
        return [
            [
                Candidate(ids[row], float(line[row]))
                for row in np.argsort(-line, kind="stable")[:count]
            ]
            for line in scores
        ]

    def vector_of(self, identity_id: str, near: Vector) -> Vector:
        if identity_id not in self._templates:
            raise UnknownIdentity(identity_id)
        template = self._templates[identity_id]
        return np.asarray(template[int(np.argmax(template @ near))])

    def add(self, identity_id: str, prototypes: Prototypes) -> None:
        must_fit(self.version, prototypes)
        self._templates[identity_id] = prototypes

    def remove(self, identity_id: str) -> None:
        self._templates.pop(identity_id, None)
