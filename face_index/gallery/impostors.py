"""Impostor scores of many people, computed a block at a time so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Pair = tuple[int, int]

_SCORES_IN_A_BLOCK = 4_000_000
_BINS = 40_000  # of the cosines from -1 to 1


@dataclass(frozen=True, slots=True)
class ImpostorScores:
    """The cosines of everybody's probe with the templates of all others.

    Attributes:
        templates: float32 [n, d], unit rows.
        probes: float32 [m, d], unit rows, m at most n; row i is the person of template i.
        left_out: Pairs of persons who are not compared, the smaller number first; both have probes.
    """

    templates: Floats
    probes: Floats
    left_out: Collection[Pair] = field(default=())

    @property
    def persons(self) -> int:
        return len(self.templates)

    @property
    def count(self) -> int:
        """How many comparisons there are."""
        return len(self.probes) * (self.persons - 1) - 2 * len(self.left_out)

    def of(self, rows: npt.NDArray[np.integer]) -> ImpostorScores:
        """Return the comparisons of some persons with each other; all of them have probes."""
        place = {int(number): row for row, number in enumerate(rows)}
        inside = [pair for pair in self.left_out if pair[0] in place and pair[1] in place]
        left_out = [tuple(sorted((place[first], place[second]))) for first, second in inside]
        return ImpostorScores(
            self.templates[rows], self.probes[rows], {(one[0], one[1]) for one in left_out}
        )

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """Yield the number of the first probe and float32 [k, n]; nan where nothing counts."""
        size = max(1, _SCORES_IN_A_BLOCK // max(self.persons, 1))
        pairs = np.array([*self.left_out, *(pair[::-1] for pair in self.left_out)], np.int64)
        for start in range(0, len(self.probes), size):
            scores = self.probes[start : start + size] @ self.templates.T
            rows = np.arange(len(scores))
            scores[rows, start + rows] = np.nan
            for first, second in pairs:
                if start <= first < start + len(scores):
                    scores[first - start, second] = np.nan
            yield start, scores

    def histogram(self) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return how many scores lie in each of many bins of equal width, and the bins' edges."""
        counts, edges = np.zeros(_BINS, np.int64), np.linspace(-1.0, 1.0, _BINS + 1)
        for _, scores in self.blocks():
            found, _ = np.histogram(np.clip(scores[~np.isnan(scores)], -1.0, 1.0), edges)
            counts += found
        return counts, edges

    def above(self, cosine: float) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the scores that exceed a cosine, with the numbers of probe and template."""
        values, rows, columns = [], [], []
        for start, scores in self.blocks():
            row, column = np.nonzero(scores > cosine)
            values.append(scores[row, column].astype(np.float64))
            rows.append(row + start)
            columns.append(column)
        return np.concatenate(values), np.concatenate(rows), np.concatenate(columns)

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return scores of random comparisons; all if there are not more, float64 [k]."""
        if self.count <= count:
            every = [scores[~np.isnan(scores)] for _, scores in self.blocks()]
            together: npt.NDArray[np.float64] = np.concatenate(every).astype(np.float64)
            return together
        rows = rng.integers(len(self.probes), size=count)
        columns = rng.integers(self.persons, size=count)
        kept = rows != columns
        for first, second in self.left_out:
            kept &= (np.minimum(rows, columns) != first) | (np.maximum(rows, columns) != second)
        rows, columns = rows[kept], columns[kept]
        return row_products(self.probes[rows], self.templates[columns])


def row_products(first: Floats, second: Floats) -> npt.NDArray[np.float64]:
    """Return the products of rows of equal number, float64 [n]; cosines of unit rows."""
    return np.asarray(np.einsum("nd,nd->n", first, second, dtype=np.float64))


def quantiles_of(
    counts: npt.NDArray[np.int64], edges: Floats, rates: Floats
) -> npt.NDArray[np.float64]:
    """Return the scores that shares of all scores exceed, from a histogram.

    Args:
        rates: Shares, 0 to 1.
    """
    exceeding = np.concatenate([np.cumsum(counts[::-1])[::-1], [0]]) / max(counts.sum(), 1)
    # A share may be that of many bins; the one that ends it is the score.
    return np.asarray(np.interp(-np.asarray(rates), -exceeding, edges))
