"""Exact search among the sketches of a family, in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.fingerprints.fingerprint_store import FingerprintStore
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.sketch import NUMBERS

if TYPE_CHECKING:
    Vector = np.ndarray[Any, np.dtype[np.float32]]


class SketchIndex:
    """FAISS indexes of all fingerprints, by family and network.

    They are built from the store at the first search, and each later search reads the rows that
    were added since.
    """

    def __init__(self, store: FingerprintStore) -> None:
        self._store = store
        self._families: dict[tuple[str, Network], _FamilyIndex] = {}
        self._lock = threading.Lock()

    def search(
        self, family: str, network: Network, direction: Vector, at_most: int
    ) -> list[tuple[int, float]]:
        """The nearest files of a family: numbers of their rows and cosines, the nearest first.

        Opposite directions count as near: their cosines are negative.

        Args:
            direction: a sketch at length 1, or what is left of one; of NUMBERS numbers.
        """
        index = self._of(family, network)
        with index.lock:
            return index.search(direction, at_most)

    def size(self, family: str, network: Network) -> int:
        """The number of files of a family whose change of a network is known."""
        index = self._of(family, network)
        with index.lock:
            return index.size

    def _of(self, family: str, network: Network) -> _FamilyIndex:
        with self._lock:
            index = self._families.setdefault((family, network), _FamilyIndex())
        with index.lock:
            for numbers, sketches in self._store.sketches(family, network, index.last):
                index.add(numbers, sketches)
        return index


class _FamilyIndex:
    def __init__(self) -> None:
        import faiss

        self.lock = threading.Lock()
        self.last = 0
        self._numbers: list[int] = []
        self._faiss = faiss.IndexFlatIP(NUMBERS)

    @property
    def size(self) -> int:
        return len(self._numbers)

    def add(self, numbers: list[int], sketches: np.ndarray[Any, Any]) -> None:
        wide = sketches.astype(np.float32)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        self._faiss.add(wide)
        self._numbers += numbers
        self.last = numbers[-1]

    def search(self, direction: Vector, at_most: int) -> list[tuple[int, float]]:
        count = min(at_most, len(self._numbers))
        if not count:
            return []
        # Two queries take as long as one on two cores.
        cosines, places = self._faiss.search(np.stack([direction, -direction]), count)
        cosines[1] *= -1
        found = dict(zip(places.ravel().tolist(), cosines.ravel().tolist(), strict=True))
        nearest = sorted(found.items(), key=lambda one: -abs(one[1]))[:at_most]
        return [(self._numbers[place], cosine) for place, cosine in nearest]
