"""The files that a file's weights come from, or that come from it.

Sketches of independent trainings have a cosine of 0 with a standard error of about 1/32. Nearer
files are related. If there are several, the change is explained by all of them together: by least
squares, adding the file that explains most of what is left (orthogonal matching pursuit; Pati et
al., 1993), until none explains a significant part. So the sources of a merge are found one behind
the other, each with its share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.relation import (
    COPIES,
    LEAST_COSINE_UNCHANGED,
    Likeness,
    Relation,
    may_be_independent,
    relation_of,
)
from scanner.fingerprints.sketch import NUMBERS
from scanner.fingerprints.sketch_index import SketchIndex

if TYPE_CHECKING:
    Vector = np.ndarray[Any, np.dtype[np.float32]]

# Standard error of the cosine of unrelated files: 1.06 / 32 among adapters of the miniature world,
# whose modules are few; 1 / 32 in theory (sketch.py). From the development split.
SPREAD = 1.1 / math.sqrt(NUMBERS)
# Two trainings of one person from two seeds have up to 0.29 in common (LoCon of the miniature
# world, development people), and a sketch adds three standard errors. The strongest of six equal
# sources of a merge has 0.41; weaker ones are found in what is left.
LEAST_COSINE = 0.4
# Expected number of unrelated files that one search names.
FALSE_RELATIONS = 1e-4
_MOST_SOURCES = 12
_MOST_NEAREST = 200
_LEAST_COSINE_OF_FORM = 0.9
# Files that are this close to a source are its copies and take its place in the sum.
_LEAST_COSINE_OF_COPIES = 0.5


@dataclass(frozen=True, slots=True)
class Relative:
    """A related file.

    Attributes:
        cosine: of the two changes of weights.
        share: of the first file's change that the other one explains, beside the other sources;
            0 to 1, in squared length.
        error: standard error of the cosine.
        network: whose change was compared; None where the tensor bytes are the same.
    """

    file: KnownFile
    relation: Relation
    cosine: float
    share: float
    error: float
    network: Network | None


class Search(Protocol):
    """Where relatives are looked for."""

    def nearest(
        self, family: str, network: Network, direction: Vector
    ) -> list[tuple[KnownFile, Vector, float]]:
        """Files with the direction of their change and its cosine, the nearest first.

        A change in the opposite direction is turned round: it is applied with a negative strength.
        """

    def size(self, family: str, network: Network) -> int:
        """The number of files that are compared."""


class StoreSearch:
    """Looks in all fingerprints of the store."""

    def __init__(self, store: FingerprintStore) -> None:
        self._store, self._index = store, SketchIndex(store)

    def nearest(
        self, family: str, network: Network, direction: Vector
    ) -> list[tuple[KnownFile, Vector, float]]:
        least = least_cosine(self.size(family, network))
        found = self._index.search(family, network, direction, _MOST_NEAREST)
        near = {number: cosine for number, cosine in found if abs(cosine) >= least}
        files = self._store.numbered(near) if near else {}
        directions = {
            number: file.fingerprint.sketches[network].direction() for number, file in files.items()
        }
        return [
            (files[number], directions[number] * np.sign(cosine), abs(cosine))
            for number, cosine in near.items()
            if number in files
        ]

    def size(self, family: str, network: Network) -> int:
        return self._index.size(family, network)


class ListSearch:
    """Looks in a few files."""

    def __init__(self, files: Iterable[KnownFile]) -> None:
        grouped: dict[tuple[str, Network], list[KnownFile]] = {}
        for file in files:
            for network in file.fingerprint.sketches:
                grouped.setdefault((file.fingerprint.family, network), []).append(file)
        self._groups = {
            (family, network): (
                own,
                np.stack([file.fingerprint.sketches[network].direction() for file in own]),
            )
            for (family, network), own in grouped.items()
        }

    def nearest(
        self, family: str, network: Network, direction: Vector
    ) -> list[tuple[KnownFile, Vector, float]]:
        if (family, network) not in self._groups:
            return []
        files, directions = self._groups[family, network]
        cosines = directions @ direction
        order = np.argsort(-np.abs(cosines))[:_MOST_NEAREST]
        least = least_cosine(len(files))
        return [
            (files[place], directions[place] * np.sign(cosines[place]), abs(float(cosines[place])))
            for place in order
            if abs(cosines[place]) >= least
        ]

    def size(self, family: str, network: Network) -> int:
        files, _ = self._groups.get((family, network), ([], None))
        return len(files)


def least_cosine(files: int) -> float:
    """The cosine above which a file is related, among so many files."""
    by_chance = SPREAD * _normal_quantile(FALSE_RELATIONS / max(files, 1))
    return max(LEAST_COSINE, by_chance)


def relatives_of(file: KnownFile, search: Search) -> list[Relative]:
    """The files that a file is related to, the nearest first."""
    found: dict[str, Relative] = {}
    for network in Network:
        for relative in _relatives_in(file, network, search):
            found.setdefault(relative.file.sha256, relative)
    return sorted(found.values(), key=lambda one: (one.relation not in COPIES, -one.cosine))


def have_same_change(one: KnownFile, other: KnownFile) -> bool:
    """Whether two files with the same tensor bytes give them to the same modules."""
    sketches, others = one.fingerprint.sketches, other.fingerprint.sketches
    return sketches.keys() == others.keys() and all(
        float(sketch.direction() @ others[network].direction()) >= LEAST_COSINE_UNCHANGED
        for network, sketch in sketches.items()
    )


@dataclass(frozen=True, slots=True)
class _Near:
    file: KnownFile
    direction: Vector


def _relatives_in(file: KnownFile, network: Network, search: Search) -> list[Relative]:
    sketch = file.fingerprint.sketches.get(network)
    if sketch is None:
        return []
    own = sketch.direction()
    near, sources = _sources(file, own, network, search)
    if not sources:
        return []
    directions = np.stack([source.direction for source in sources])
    groups = {
        one.file.sha256: int(np.argmax(np.abs(directions @ one.direction))) for one in near.values()
    }
    explained = 1.0 - float(np.linalg.norm(_residual(own, directions))) ** 2
    found = []
    for sha256, one in near.items():
        group = groups[sha256]
        cosine = float(own @ one.direction)
        # Where the file is another form of a source, whatever contains the source contains it.
        is_source = float(own @ directions[group]) >= _LEAST_COSINE_OF_FORM
        if not is_source and not _is_form_of(one, sources[group], network):
            continue
        shares = _shares(own, np.vstack([np.delete(directions, group, 0), one.direction]))
        share = float(shares[-1])
        likeness = replace(
            _likeness(file, one.file, network, cosine, alone=len(sources) == 1),
            explained=explained,
            is_opposite=_is_turned(one.file, one.direction, network),
        )
        if may_be_independent(file, one.file, likeness):
            continue
        relation = relation_of(file, one.file, likeness)
        error = max(0.0, 1 - cosine**2) * SPREAD
        found.append(Relative(one.file, relation, min(cosine, 1.0), share, error, network))
    return found


def _likeness(
    file: KnownFile, other: KnownFile, network: Network, cosine: float, *, alone: bool
) -> Likeness:
    own, others = file.fingerprint, other.fingerprint
    starts = None
    if own.start is not None and others.start is not None:
        starts = float(own.start.direction() @ others.start.direction())
    stretch = own.sketches[network].length / others.sketches[network].length
    return Likeness(cosine, stretch, alone, starts)


def _is_form_of(one: _Near, source: _Near, network: Network) -> bool:
    """Whether a file is a source, or another form of one.

    Others have something in common with a file only because both contain the source.
    """
    cosine = float(one.direction @ source.direction)
    if one.file.sha256 == source.file.sha256:
        return True
    if cosine < _LEAST_COSINE_OF_COPIES:
        return False
    likeness = _likeness(one.file, source.file, network, cosine, alone=True)
    return relation_of(one.file, source.file, likeness) != Relation.CONTAINS


def _sources(
    file: KnownFile, own: Vector, network: Network, search: Search
) -> tuple[dict[str, _Near], list[_Near]]:
    """All near files, and those of them that explain the change together."""
    family = file.fingerprint.family
    near: dict[str, _Near] = {}
    sources: list[_Near] = []
    left, length = own, 1.0
    while len(sources) < _MOST_SOURCES:
        direction = left / length
        found = search.nearest(family, network, direction.astype(np.float32))
        new = [
            (_Near(other, other_direction), cosine)
            for other, other_direction, cosine in found
            if other.sha256 != file.sha256
            # A source of a merge is its sum with others, less these others; that explains nothing.
            and not (sources and _is_turned(other, other_direction, network))
        ]
        for one, _ in new:
            near.setdefault(one.file.sha256, one)
        best = next((one for one, _ in new if not _is_copy_of_any(one, sources)), None)
        if best is None:
            break
        sources.append(best)
        left = _residual(own, np.stack([source.direction for source in sources]))
        length = float(np.linalg.norm(left))
        if length < _LEAST_LEFT:
            break
    return near, sources


def _is_turned(file: KnownFile, direction: Vector, network: Network) -> bool:
    """Whether a direction is the opposite of that of the file's change."""
    return float(direction @ file.fingerprint.sketches[network].direction()) < 0


def _is_copy_of_any(one: _Near, sources: Iterable[_Near]) -> bool:
    return any(
        float(one.direction @ source.direction) >= _LEAST_COSINE_OF_COPIES for source in sources
    )


# What rounding leaves of a copy is too short to look for sources in it. A source that weighs a
# twentieth of another one has 0.05.
_LEAST_LEFT = 0.03


def _coefficients(own: Vector, directions: Vector) -> Vector:
    weights: Vector = np.linalg.lstsq(directions.T, own, rcond=None)[0]
    return weights


def _residual(own: Vector, directions: Vector) -> Vector:
    left: Vector = own - _coefficients(own, directions) @ directions
    return left


def _shares(own: Vector, directions: Vector) -> Vector:
    """How much of the squared length of `own` each direction explains; they add up to R²."""
    shares: Vector = _coefficients(own, directions) * (directions @ own)
    return np.clip(shares, 0.0, 1.0)


def _normal_quantile(tail: float) -> float:
    """The value that a standard normal variable exceeds with this probability."""
    from statistics import NormalDist

    return -NormalDist().inv_cdf(tail)
