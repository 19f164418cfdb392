"""LoHa: W + (alpha / rank) (a1 b1) * (a2 b2), element by element.

Source: LyCORIS modules/loha.py (Yeh et al., ICLR 2024).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    SCALES,
    AdapterFormat,
    Arrays,
    NamePattern,
    Parts,
    Projection,
    Shapes,
    Size,
    WeightChange,
    dimension,
    kind_with,
    marked_by,
)
from scanner.adapters.formats.products import require_small, scale_of, tucker

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array

_NUMBERS_AT_ONCE = 2**22
_PARTS = tuple(f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2"))


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    halves = []
    for number in ("1", "2"):
        left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        core = parts.get(f"hada_t{number}")
        halves.append(left @ right if core is None else tucker(core, left, right))
    return (halves[0] * halves[1]).reshape(weight.shape) * scale_of(parts, "hada_w1_b")


def _project(parts: Arrays, signs: Projection) -> Array:
    """The product of elements has no small factors, so it is formed a few rows at a time."""
    import numpy as np

    halves = []
    for number in ("1", "2"):
        left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        core = parts.get(f"hada_t{number}")
        if core is not None:
            # [i, j, ...] x [i, p] x [j, r] -> p rows of (i) and i rows of (r, ...).
            require_small(len(core), *core.shape[2:], right.shape[1])
            right = np.einsum("ij...,jr->ir...", core, right).reshape(len(core), -1)
            left = left.T
        halves.append((left, right))
    (a1, b1), (a2, b2) = halves
    rows, columns = signs.rows(len(a1)), signs.columns(b1.shape[1])
    count = max(1, _NUMBERS_AT_ONCE // max(1, b1.shape[1]))
    between = np.zeros((len(rows), columns.shape[1]))
    for first in range(0, len(a1), count):
        some = slice(first, first + count)
        between += rows[:, some] @ ((a1[some] @ b1) * (a2[some] @ b2)) @ columns
    return between * scale_of(parts, "hada_w1_b")


def _size(parts: Shapes) -> Size | None:
    if "hada_w1_a" not in parts or "hada_t1" in parts:
        return None
    return dimension(parts, "hada_w1_a", 0), dimension(parts, "hada_w1_b", 1)


LOHA = AdapterFormat(
    "LoHa",
    endings=tuple((f".{part}", part) for part in _PARTS),
    # With the name of PEFT's adapter behind the part.
    patterns=(
        NamePattern(re.compile(r"^(?P<stem>.+)\.(?P<part>hada_(?:w[12]_[ab]|t[12]))\.[^.]+$")),
    ),
    kinds=(kind_with("loha", "hada_w1_a", "hada_w1_b"),),
    changes=(
        WeightChange(
            "hada_w1_b", marked_by("hada_w1_b", used=SCALES.union(_PARTS)), _delta, _project
        ),
    ),
    size=_size,
)
