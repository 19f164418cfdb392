"""Products and scales that several algorithms share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import Parts

if TYPE_CHECKING:
    from torch import Tensor


def scale_of(parts: Parts, ranked: str, axis: int = 0) -> float:
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
