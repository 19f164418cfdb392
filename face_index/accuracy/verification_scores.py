"""Verification scores: single photos against single photos."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Face
from face_index.gallery.impostors import row_products

Floats = npt.NDArray[np.floating]
# More comparisons are drawn at random, so that memory stays bounded.
_MOST_PAIRS = 4_000_000
_PAIRS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class VerificationScores:
    """Verification scores with their persons and groups, to resample persons and split groups."""

    genuine: Floats
    genuine_persons: npt.NDArray[np.int64]
    impostor: Floats
    impostor_persons: npt.NDArray[np.int64]
    genuine_groups: list[str]
    impostor_groups: list[str]
    persons: int


def all_pairs(people: dict[str, list[Face]], group_of: dict[str, str]) -> VerificationScores:
    """Compare every photo with every other one."""
    names = list(people)
    vectors = np.concatenate([[face.embedding for face in people[name]] for name in names])
    owner = np.repeat(np.arange(len(names)), [len(people[name]) for name in names])
    rows, columns = _pairs(owner, np.random.default_rng(0))
    values = np.concatenate(
        [
            row_products(vectors[rows[start:end]], vectors[columns[start:end]])
            for start, end in itertools.pairwise([*range(0, len(rows), _PAIRS_AT_ONCE), len(rows)])
        ]
    )
    same = owner[rows] == owner[columns]
    labels = np.array([group_of.get(name, "") for name in names])
    within = labels[owner[rows]] == labels[owner[columns]]
    other = ~same
    # Only impostors of the same group count, as in NIST's differentials.
    impostor_groups = np.where(within[other], labels[owner[rows[other]]], "")
    return VerificationScores(
        values[same],
        owner[rows[same]],
        values[other],
        owner[rows[other]],
        list(labels[owner[rows[same]]]),
        list(impostor_groups),
        len(names),
    )


def _pairs(
    owner: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the photos of all pairs; of too many, all of one person and others at random.

    Args:
        owner: int [n], the person of each photo, in order.
    """
    if len(owner) * (len(owner) - 1) // 2 <= _MOST_PAIRS:
        return np.triu_indices(len(owner), 1)
    counts = np.bincount(owner)
    starts = np.cumsum(counts) - counts
    own = [
        np.stack(np.triu_indices(count, 1)) + start
        for count, start in zip(counts, starts, strict=True)
    ]
    genuine = np.concatenate(own, axis=1)
    if genuine.shape[1] > _MOST_PAIRS:
        genuine = genuine[:, rng.choice(genuine.shape[1], _MOST_PAIRS, replace=False)]
    others = rng.integers(len(owner), size=(2, _MOST_PAIRS))
    others = others[:, owner[others[0]] != owner[others[1]]]
    rows, columns = np.concatenate([genuine, others], axis=1)
    return rows, columns
