"""LoKr: W + w1 ⊗ w2, either factor whole or of low rank.

Source: LyCORIS modules/lokr.py (Yeh et al., ICLR 2024).
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
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
)
from scanner.adapters.formats.products import require_small, scale_of, tucker

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array

_FIRST_FACTORS = frozenset({"lokr_w1_a", "lokr_w1_b"})
_SECOND_FACTORS = frozenset({"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
_PARTS = ("lokr_w1_a", "lokr_w1_b", "lokr_w1", "lokr_w2_a", "lokr_w2_b", "lokr_w2", "lokr_t2")


def _used(parts: AbstractSet[str]) -> AbstractSet[str] | None:
    """Each factor is one matrix or a product; the product is not used beside a matrix."""
    if not parts & {"lokr_w1", "lokr_w1_a", "lokr_w2"}:
        return None
    first = {"lokr_w1"} if "lokr_w1" in parts else _FIRST_FACTORS
    second = {"lokr_w2"} if "lokr_w2" in parts else _SECOND_FACTORS
    return first | second | SCALES


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    import torch

    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = tucker(parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"].flatten(1)
        second = second.reshape(len(second), *parts["lokr_w2_b"].shape[1:])
    first = first.reshape(*first.shape, *[1] * (second.dim() - 2))
    return torch.kron(first, second.contiguous()).reshape(weight.shape) * _scale(parts)


def _scale(parts: Parts | Arrays) -> float:
    # Only a factor of low rank has a rank to divide by; LyCORIS sets the scale to 1 otherwise.
    return scale_of(parts, "lokr_w2_b" if "lokr_w2_b" in parts else "lokr_w1_b")


def _project(parts: Arrays, signs: Projection) -> Array:
    """Rows and columns of a Kronecker product are pairs, so each factor takes its own half."""
    import numpy as np

    if "lokr_w1" in parts:
        first = parts["lokr_w1"]
    else:
        require_small(len(parts["lokr_w1_a"]), parts["lokr_w1_b"].shape[1])
        first = parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        core, down = parts["lokr_t2"], parts["lokr_w2_b"]
        require_small(parts["lokr_w2_a"].shape[1], *core.shape[2:], down.shape[1])
        require_small(len(core), *core.shape[2:], down.shape[1])
        second = np.einsum(
            "ij...,ip,jr->pr...", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"]
        )
    else:
        factor = parts["lokr_w2_b"]
        require_small(len(parts["lokr_w2_a"]), factor.size // len(factor))
        second = parts["lokr_w2_a"] @ factor.reshape(len(factor), -1)
    second = second.reshape(len(second), -1)
    require_small(32, first.shape[1], len(second))
    rows = signs.rows(len(first) * len(second))
    columns = signs.columns(first.shape[1] * second.shape[1])
    pairs = rows.reshape(len(rows), len(first), len(second))
    halfway = np.einsum("kab,ac->kcb", pairs, first) @ second
    between: Array = halfway.reshape(len(rows), -1) @ columns * _scale(parts)
    return between


def _size(parts: Shapes) -> Size | None:
    if not parts.keys() & {"lokr_w1", "lokr_w1_a"} or "lokr_t2" in parts:
        return None
    return _length(parts, 0), _length(parts, 1)


def _length(parts: Shapes, axis: int) -> int | None:
    first, second = _factor(parts, "lokr_w1", axis), _factor(parts, "lokr_w2", axis)
    return None if first is None or second is None else first * second


def _factor(parts: Shapes, factor: str, axis: int) -> int | None:
    whole = dimension(parts, factor, axis)
    return whole if whole is not None else dimension(parts, f"{factor}_{'ab'[axis]}", axis)


LOKR = AdapterFormat(
    "LoKr",
    endings=tuple((f".{part}", part) for part in _PARTS),
    # With the name of PEFT's adapter behind the part.
    patterns=(
        NamePattern(re.compile(r"^(?P<stem>.+)\.(?P<part>lokr_(?:w[12](?:_[ab])?|t2))\.[^.]+$")),
    ),
    kinds=(kind_with("lokr", "lokr_w1", "lokr_w1_a", "lokr_w2"),),
    changes=(
        WeightChange("lokr_w1", _used, _delta, _project),
        WeightChange("lokr_w1_a", _used, _delta, _project),
    ),
    size=_size,
)
