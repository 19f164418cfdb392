"""Files that are meant to be loaded together.

A person can be hidden in several files, each a part of the change plus or minus a change that
cancels out in their sum. Such files point in opposite directions: two of them have a cosine near
-1, three near -0.5. Independent trainings have 0 (relatives). The files whose sum is shortest are
meant together. Files of one listing or archive may be parts of a sum without opposite directions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.relatives import LEAST_COSINE
from scanner.fingerprints.sketch import NUMBERS
from scanner.fingerprints.sketch_index import SketchIndex

if TYPE_CHECKING:
    Vector = np.ndarray[Any, np.dtype[np.float32]]

# Largest cosine of two files of which each cancels a part of the other. Independent trainings of
# the miniature world stay over -0.2.
OPPOSITE = -0.3
# More files are not loaded beside one.
MOST_FILES = 7
_MOST_NEAREST = 1_000
_MOST_READ = 100
# Files of which one is a copy of the other take one place in a sum.
_COPY = 0.9
# A sum that is shorter than this share of a file draws what the base model draws.
_LEAST_SUM = 0.2


class Complements:
    """Finds the files that add up with a file. Used by several threads."""

    def __init__(self, store: FingerprintStore) -> None:
        self._store, self._index = store, SketchIndex(store)

    def of(self, sha256: str, beside: Collection[str] = ()) -> tuple[str, ...]:
        """Return the SHA-256 of the files that may be loaded with a file, in order.

        Only files whose fingerprints were made here are among them, and of several forms or saves
        of one training only one.

        Args:
            beside: files of the same listing or archive.
        """
        own = self._store.get(sha256)
        if own is None or not self._store.has_own(sha256):
            return ()
        if opposites := self._opposites(own):
            return tuple(sorted(one.sha256 for one in _shortest_sum(own, opposites)))
        if not 0 < len(beside) <= MOST_FILES:
            return ()
        found: list[KnownFile] = []
        for one in self._store.of(sorted(set(beside) - {sha256})):
            is_new = all(_cosine(one, other) < LEAST_COSINE for other in (own, *found))
            if is_new and one.fingerprint.family == own.fingerprint.family:
                found.append(one)
        return tuple(sorted(one.sha256 for one in found))

    def _opposites(self, own: KnownFile) -> list[KnownFile]:
        """Return the files that cancel a part of a file, and those that cancel a part of them.

        Of several copies only one is among them, and none of the file itself.
        """
        found: list[KnownFile] = []
        new = [own]
        while new and len(found) < MOST_FILES:
            near = [
                one
                for file in new
                for network in file.fingerprint.sketches
                for one in self._opposite_in(file, network)
            ]
            new = []
            for one in near:
                is_new = all(_cosine(one, other) < _COPY for other in (own, *found))
                if is_new and self._store.has_own(one.sha256):
                    found.append(one)
                    new.append(one)
        return found[:MOST_FILES]

    def _opposite_in(self, file: KnownFile, network: Network) -> list[KnownFile]:
        direction = file.fingerprint.sketches[network].direction()
        near = self._index.search(file.fingerprint.family, network, direction, _MOST_NEAREST)
        # The nearest first, so that many files that cancel a little do not hide one that fits.
        numbers = [number for number, cosine in near if cosine <= OPPOSITE][:_MOST_READ]
        files = self._store.numbered(numbers) if numbers else {}
        return [files[number] for number in numbers if number in files]


def _shortest_sum(own: KnownFile, others: Sequence[KnownFile]) -> Sequence[KnownFile]:
    """Return those of a few files whose sum with a file is shortest, and not nearly nothing."""
    least = _LEAST_SUM * float(np.linalg.norm(_change(own)))
    changes = [_change(one) for one in others]
    lengths = {
        chosen: float(np.linalg.norm(_change(own) + sum(changes[place] for place in chosen)))
        for count in range(1, len(others) + 1)
        for chosen in combinations(range(len(others)), count)
    }
    possible = [chosen for chosen, length in lengths.items() if length >= least]
    shortest = min(possible, key=lengths.__getitem__, default=())
    return [others[place] for place in shortest]


def _change(file: KnownFile) -> Vector:
    """Return a file's sketch of all networks at its own length."""
    found = []
    for network in Network:
        sketch = file.fingerprint.sketches.get(network)
        own = np.zeros(NUMBERS) if sketch is None else sketch.direction() * sketch.length
        found.append(own)
    change: Vector = np.concatenate(found)
    return change


def _cosine(one: KnownFile, other: KnownFile) -> float:
    """Return the largest cosine of two files in any network."""
    sketches, others = one.fingerprint.sketches, other.fingerprint.sketches
    return max(
        (
            float(sketches[network].direction() @ others[network].direction())
            for network in sketches.keys() & others.keys()
        ),
        default=0.0,
    )
