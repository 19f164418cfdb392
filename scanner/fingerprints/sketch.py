"""The sketch of a change of weights: 1,024 numbers whose inner products estimate those of changes.

The change D of each module is projected to R D C / k, with random signs R [k, outputs] and
C [inputs, k], k = 32, and the projections of all modules are added. A product up @ down is
projected through its factors, so D is not formed. R and C are independent between modules, hence
the expected inner product of two sketches is that of the changes, the sum over modules of
trace(D1' D2); its standard error is about |D1| |D2| / 32 (Johnson and Lindenstrauss, 1984;
Achlioptas, 2003, for signs). Rotations inside a low rank change neither D nor the sketch.
Everything is computed in float64 and rounded once to float16, so that machines whose sums differ
in the last bits give the same sketch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.fingerprints.signs import SIDE

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]
    Numbers = np.ndarray[Any, np.dtype[np.float16]]

NUMBERS = SIDE * SIDE
VERSION = 1
"""Sketches of different versions cannot be compared."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A sketch at length 1, and the length that the change has by it.

    Attributes:
        numbers: NUMBERS of them, as float16.
        length: estimate of the change's Frobenius norm.
    """

    numbers: Numbers
    length: float

    def direction(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The sketch at length 1 exactly, float32."""
        wide = self.numbers.astype(np.float32)
        unit: np.ndarray[Any, np.dtype[np.float32]] = wide / np.linalg.norm(wide)
        return unit


def sketch_of(total: Array) -> Sketch | None:
    """The sketch of the summed projections of a file's modules; None if nothing changes.

    Args:
        total: [SIDE, SIDE].
    """
    length = float(np.linalg.norm(total))
    if not length or not math.isfinite(length):
        return None
    return Sketch((total.reshape(-1) / length).astype(np.float16), length)
