"""The relation of one file's weights to another's, by what their sketches and headers tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scanner.fingerprints.fingerprint import FileFacts
from scanner.fingerprints.fingerprint_store import KnownFile


class Relation(StrEnum):
    """How the weights of a file came from those of another file."""

    SAME_WEIGHTS = "same weights"
    RECAST = "recast"
    RENAMED = "renamed"
    RESCALED = "rescaled"
    RESIZED = "resized"
    ALTERED = "pruned or noised"
    EPOCH = "another epoch of the same training"
    CONTAINS = "contains"
    CONTAINED = "contained in"


COPIES = frozenset(
    {
        Relation.SAME_WEIGHTS,
        Relation.RECAST,
        Relation.RENAMED,
        Relation.RESCALED,
        Relation.RESIZED,
        Relation.ALTERED,
    }
)
"""Relations of a file that is the other one in another form."""

LEAST_COSINE_COMPLETE = 0.95
"""Copies that are at least as near show nobody whom the other file does not show."""

DERIVED = COPIES | {Relation.EPOCH, Relation.CONTAINS}
"""Relations of a file that shows whom the other one shows."""


def inverse_of(relation: Relation) -> Relation:
    """What the other file is to the first one."""
    if relation == Relation.CONTAINS:
        return Relation.CONTAINED
    return Relation.CONTAINS if relation == Relation.CONTAINED else relation


# All from LikenessBench's development split (`python -m benchmarks.fingerprints.relations
# development`) and trainings of its people from one seed (`python -m
# benchmarks.fingerprints.trainings`). benchmarks/RESULTS.md has the held-out figures.
# Rounding to 8 bits in fp16 keeps 0.9998 of the direction, fp8 0.9986.
LEAST_COSINE_UNCHANGED = 0.9995
LEAST_COSINE_UNCHANGED_FP8 = 0.998
# 10 % of noise changes the length by at most 1.7 %, and rounding by 0.4 %.
MOST_STRETCH_UNCHANGED = 0.025
# Noise of 10 % and pruning of 30 % leave at least 0.965.
LEAST_COSINE_ALTERED = 0.95
# The best lower rank is a projection, so the length that is left is the cosine; the lowest is 0.69.
LEAST_COSINE_RESIZED = 0.5
MOST_STRETCH_RESIZED = 0.08
# A source of a merge is a projection too. The largest singular values hold more of the squared
# length than their share of the rank, at least 1.28 times as much; a source of two equal ones does
# not.
LEAST_ENERGY_RESIZED = 1.2
# Pruning adds zeros.
LEAST_ZEROS_ADDED = 0.05
# Two saves of one training have 0.88 in common after a third and all of its steps, 0.73 after a
# sixth; two trainings of one person from one seed, with other photos, at most 0.68 (LoKr).
LEAST_COSINE_EPOCH = 0.75
# Full differences, rotations and IA3 start at nothing, so any two trainings of one person lean the
# same way, from whatever seed: up to 0.54, 0.45 and 0.91.
LEAST_COSINE_WITHOUT_START = 0.95
# The first factors of two saves have at least 0.969 in common, late ones 0.9995; noise and pruning
# leave at most 0.996. Trainings from one seed have at least 0.75, from two at most 0.24, and copies
# by singular values at most 0.24.
LEAST_COSINE_OF_STARTS = 0.4
LEAST_COSINE_OF_UNTOUCHED_STARTS = 0.998


@dataclass(frozen=True, slots=True)
class Likeness:
    """How two changes of weights compare.

    Attributes:
        cosine: of the changes, by their sketches.
        stretch: length of the first change by that of the second.
        alone: no other known file has a share in the first one.
        starts: cosine of the factors that started at random; None if one file has no such factor.
        is_opposite: the changes have opposite directions, so one is applied with a negative
            strength.
        explained: share of the first change's squared length that all related files explain.
    """

    cosine: float
    stretch: float
    alone: bool
    starts: float | None
    explained: float = 1.0
    is_opposite: bool = False


def relation_of(file: KnownFile, other: KnownFile, likeness: Likeness) -> Relation:
    """What a file is to another one to which it is related.

    Merges and other ranks are told apart by rank and length, so a merge that was resized to a low
    rank may be named otherwise. That it is related does not depend on the name.
    """
    has_same_bytes = file.weights_hash is not None and file.weights_hash == other.weights_hash
    if has_same_bytes and likeness.cosine >= LEAST_COSINE_UNCHANGED:
        return Relation.SAME_WEIGHTS  # a header can give the same bytes to other modules
    own, others = file.fingerprint.facts, other.fingerprint.facts
    if _is_unchanged(own, others, likeness):
        return _of_unchanged(own, others, likeness)
    if likeness.alone and _is_resized(file, other, likeness):
        return Relation.RESIZED
    if likeness.alone and own.rank == others.rank and _is_pruned(own, others):
        return Relation.ALTERED
    if likeness.alone and _have_same_form(own, others) and _may_be_epochs(own, others, likeness):
        return Relation.EPOCH
    if likeness.alone and own.rank == others.rank and likeness.cosine >= LEAST_COSINE_ALTERED:
        return Relation.ALTERED
    return Relation.CONTAINS if _is_larger(file, other, likeness) else Relation.CONTAINED


def _is_unchanged(own: FileFacts, others: FileFacts, likeness: Likeness) -> bool:
    """Whether the changes have the same direction, but for rounding."""
    is_fp8 = own.dtype.startswith("F8") != others.dtype.startswith("F8")
    least = LEAST_COSINE_UNCHANGED_FP8 if is_fp8 else LEAST_COSINE_UNCHANGED
    return likeness.cosine >= least


def _of_unchanged(own: FileFacts, others: FileFacts, likeness: Likeness) -> Relation:
    if own.rank != others.rank:
        return Relation.RESIZED
    if own.names_hash != others.names_hash:
        return Relation.RENAMED
    if likeness.is_opposite or abs(likeness.stretch - 1) > MOST_STRETCH_UNCHANGED:
        return Relation.RESCALED
    return Relation.RECAST


def _have_same_form(own: FileFacts, others: FileFacts) -> bool:
    return (own.rank, own.modules) == (others.rank, others.modules)


def _is_pruned(own: FileFacts, others: FileFacts) -> bool:
    return abs(own.zeros - others.zeros) >= LEAST_ZEROS_ADDED


def _is_of_session(own: FileFacts, others: FileFacts) -> bool:
    return own.session_id is not None and own.session_id == others.session_id


def _may_be_epochs(own: FileFacts, others: FileFacts, likeness: Likeness) -> bool:
    """Whether two files look like saves of one training."""
    if likeness.cosine < LEAST_COSINE_EPOCH:
        return _is_of_session(own, others)
    if likeness.cosine >= LEAST_COSINE_ALTERED:
        is_stretched = abs(likeness.stretch - 1) > MOST_STRETCH_UNCHANGED
        untouched = likeness.starts is not None and (
            likeness.starts >= LEAST_COSINE_OF_UNTOUCHED_STARTS
        )
        return is_stretched or untouched
    return likeness.starts is None or likeness.starts >= LEAST_COSINE_OF_STARTS


def may_be_independent(file: KnownFile, other: KnownFile, likeness: Likeness) -> bool:
    """Whether two files may be separate trainings of one person, and so not related.

    Trainings from one seed begin with the same random factors and see the same noise. Changes that
    begin at nothing, as full differences and rotations do, need no common seed to lean the same
    way. A merge has another rank, or its sources explain it together.
    """
    own, others = file.fingerprint, other.fingerprint
    best = max(likeness.cosine, likeness.explained)
    if _is_pruned(own.facts, others.facts) or _is_of_session(own.facts, others.facts):
        return False
    if own.start is None and others.start is None:
        return best < LEAST_COSINE_WITHOUT_START
    return (
        best < LEAST_COSINE_EPOCH
        and likeness.alone
        and likeness.starts is not None
        and likeness.starts >= LEAST_COSINE_OF_STARTS
        and _have_same_form(own.facts, others.facts)
    )


def _is_resized(file: KnownFile, other: KnownFile, likeness: Likeness) -> bool:
    """Whether the file of the lower rank is the other one's best approximation."""
    own, others = file.fingerprint.facts.rank, other.fingerprint.facts.rank
    if own == others or likeness.cosine < LEAST_COSINE_RESIZED:
        return False
    is_lower = others is None or (own is not None and own < others)
    expected = likeness.cosine if is_lower else 1 / likeness.cosine
    if abs(likeness.stretch / expected - 1) > MOST_STRETCH_RESIZED:
        return False
    if likeness.starts is not None and likeness.starts >= LEAST_COSINE_OF_STARTS:
        return False  # singular vectors have nothing of the factors; a merge has them side by side
    if own is None or others is None:
        return True
    kept = min(own, others) / max(own, others)
    return likeness.cosine**2 >= min(LEAST_ENERGY_RESIZED * kept, LEAST_COSINE_UNCHANGED)


def _is_larger(file: KnownFile, other: KnownFile, likeness: Likeness) -> bool:
    """Whether the file holds more than the other one: a higher rank, else a longer change."""
    if not likeness.alone:
        return True
    own, others = file.fingerprint.facts.rank, other.fingerprint.facts.rank
    if own != others:
        return own is None or (others is not None and own > others)
    return likeness.stretch > 1
