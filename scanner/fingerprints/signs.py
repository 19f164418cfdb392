"""Random signs between which the change of a module is projected.

The signs of a module follow from its name alone: they are the bits of SHAKE-128 (FIPS 202) of the
name, 32 for each row and each column. So any program can make them again, on any machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.errors import NoFingerprint
from scanner.fingerprints.fused_modules import RowRange
from scanner.fingerprints.module_names import NamedModule

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

SIDE = 32
FACTOR_ROWS = 4
"""Modules are divided among so many sums of first factors."""

_BYTES = SIDE // 8
_MOST_ROWS = 2**20
# The signs that the bits of each byte stand for, the highest bit first: 0 is +1, 1 is -1.
_SIGNS: Any = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)


@dataclass(frozen=True, slots=True)
class ModuleSigns:
    """The signs of the modules whose rows a module of a file stacks.

    With several, the matrices hold one block for each: `folded` adds up the products of the blocks.
    """

    version: int
    module: NamedModule
    _columns: dict[int, Array] = field(default_factory=dict)

    def rows(self, count: int) -> Array:
        """The signs for the outputs, [SIDE * modules, count].

        Raises:
            NoFingerprint: the rows cannot be divided among the modules.
        """
        ranges = self.module.ranges
        total = sum(one.share for one in ranges)
        if count % total:
            raise NoFingerprint(f"{count} rows of {ranges[0].name} are not those of {total} parts")
        if len(ranges) == 1:
            return self._signs(ranges[0], "rows", count * ranges[0].part, count).T
        signs = np.zeros((SIDE * len(ranges), count))
        start = 0
        for number, one in enumerate(ranges):
            own = count // total * one.share
            block = self._signs(one, "rows", own * one.part, own)
            signs[number * SIDE : (number + 1) * SIDE, start : start + own] = block.T
            start += own
        return signs

    def columns(self, count: int) -> Array:
        """The signs for the inputs, [count, SIDE * modules]."""
        if count not in self._columns:
            signs = [self._signs(one, "columns", 0, count) for one in self.module.ranges]
            self._columns[count] = signs[0] if len(signs) == 1 else np.hstack(signs)
        return self._columns[count]

    def of_factor(self, factor: Array) -> Array:
        """The projected sum of a factor's ranks, [FACTOR_ROWS, SIDE]; all rows but one are 0.

        The sum does not depend on the order of the ranks, and that of a merge is the sum of those
        of its sources.
        """
        flat = factor.reshape(len(factor), -1)
        total = np.zeros((FACTOR_ROWS, SIDE))
        key = f"{self.module.network} {self.module.ranges[0].name}".encode()
        row = hashlib.shake_128(key).digest(1)[0] % FACTOR_ROWS
        total[row] = flat.sum(axis=0) @ self.columns(flat.shape[1])[:, :SIDE]
        return total

    def folded(self, between: Array) -> Array:
        """The sum of the projections of the modules, [SIDE, SIDE], of which each has length 1/k."""
        blocks = len(self.module.ranges)
        parts = between.reshape(blocks, SIDE, blocks, SIDE)
        folded: Array = np.einsum("aiaj->ij", parts) / SIDE
        return folded

    def _signs(self, one: RowRange, side: str, start: int, count: int) -> Array:
        if start + count > _MOST_ROWS:
            raise NoFingerprint(f"a module of {start + count:,} {side} is larger than any model's")
        key = f"portrait-scanner fingerprint {self.version} {self.module.network} {one.name} {side}"
        digest = hashlib.shake_128(key.encode()).digest(_BYTES * (start + count))
        octets = np.frombuffer(digest, np.uint8)[_BYTES * start :]
        signs: Array = np.take(_SIGNS, octets, axis=0).reshape(count, SIDE)
        return signs
