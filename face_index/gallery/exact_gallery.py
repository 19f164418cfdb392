"""The searchable set of active templates. Plain and exact: the oracle for every faster index."""

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
    """One identity close to a probe; `score` is the cosine to its closest prototype, higher is closer."""

    identity_id: str
    score: float


class Gallery(Protocol):
    """Templates of one pack version that can be searched by probes."""

    version: PackVersion

    def __len__(self) -> int:
        """How many identities can be found."""

    def search(self, probes: Prototypes, count: int = 5) -> list[list[Candidate]]:
        """For each probe, float32 [n, d], the closest identities, best first; fewer if there are fewer."""

    def vector_of(self, identity_id: str, near: Vector) -> Vector:
        """Of an identity's prototypes the one closest to `near`; raises UnknownIdentity."""

    def add(self, identity_id: str, prototypes: Prototypes) -> None:
        """Let an identity be found, or replace its template."""

    def remove(self, identity_id: str) -> None:
        """Let an identity be found no more; nothing if it is not there."""


def must_fit(version: PackVersion, prototypes: Prototypes) -> None:
    """Raise PackMismatch unless these can be prototypes of that pack."""
    if prototypes.ndim != 2 or prototypes.shape[1] != version.dimension:
        raise PackMismatch(
            f"vectors of shape {prototypes.shape} do not come from pack {version.name}, whose vectors have "
            f"{version.dimension} values"
        )
    if not 1 <= len(prototypes) <= MOST_PROTOTYPES:
        raise PackMismatch(
            f"a template has 1 to {MOST_PROTOTYPES} prototypes, not {len(prototypes)}"
        )


class ExactGallery:
    """All scores by one matrix product; every change stacks the matrix anew."""

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
