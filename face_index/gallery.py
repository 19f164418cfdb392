"""The searchable set of active templates. Plain and exact: the oracle for every faster index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from face_index.face import PackVersion, Vector


@dataclass(frozen=True, slots=True)
class Candidate:
    """One identity close to a probe; `score` is the cosine similarity, higher is closer."""

    identity_id: str
    score: float


class Gallery(Protocol):
    """Templates of one pack version that can be searched by a probe."""

    version: PackVersion

    def __len__(self) -> int:
        """How many identities can be found."""

    def search(self, probe: Vector, count: int = 5) -> list[Candidate]:
        """The closest identities, best first; empty if the gallery is."""

    def vector_of(self, identity_id: str) -> Vector:
        """The template of an identity in this gallery."""


class ExactGallery:
    """All scores by one matrix product."""

    def __init__(self, version: PackVersion, templates: Sequence[tuple[str, Vector]]) -> None:
        self.version = version
        self._ids = [identity_id for identity_id, _ in templates]
        self._vectors = (
            np.stack([vector for _, vector in templates]) if templates else np.zeros((0, version.dimension), np.float32)
        )

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, probe: Vector, count: int = 5) -> list[Candidate]:
        scores = self._vectors @ probe
        return [Candidate(self._ids[row], float(scores[row])) for row in np.argsort(-scores, kind="stable")[:count]]

    def vector_of(self, identity_id: str) -> Vector:
        return np.asarray(self._vectors[self._ids.index(identity_id)])
