"""Products and scales that several algorithms share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import Arrays, Parts, Projection

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array


def scale_of(parts: Parts | Arrays, ranked: str, axis: int = 0) -> float:
    """Alpha / rank; alpha is the rank where it is missing or 0.

    Args:
        ranked: the part whose dimension `axis` is the rank.
    """
    if ranked not in parts:
        return 1.0
    rank = parts[ranked].shape[axis]
    alpha = float(parts["alpha"]) if "alpha" in parts else 0.0
    return (alpha or rank) / (math.sqrt(rank) if "rslora" in parts else rank)


def tucker(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """[i, j, ...] x [i, p] x [j, r] -> [p, r, ...]."""
    import torch

    return torch.einsum("ij...,ip,jr->pr...", core, left, right)


_MOST_NUMBERS = 2**25


def require_small(*sizes: int) -> None:
    """Refuse a product that a few bytes ask for and that no model needs.

    Raises:
        ValueError: it would have more numbers than any product of a real adapter.
    """
    if math.prod(sizes) > _MOST_NUMBERS:
        raise ValueError(sizes)


def product_between(up: Array, down: Array, core: Array | None, signs: Projection) -> Array:
    """The product up @ down, or up @ core @ down of a convolution, between signs."""
    left, right = up.reshape(len(up), -1), down.reshape(len(down), -1)
    rows = signs.rows(len(left)) @ left
    if core is None:
        product: Array = rows @ (right @ signs.columns(right.shape[1]))
        return product
    import numpy as np

    require_small(len(core), *core.shape[2:], right.shape[1])
    inner = np.einsum("ij...,jr->ir...", core, right).reshape(len(core), -1)
    through_core: Array = rows @ (inner @ signs.columns(inner.shape[1]))
    return through_core
