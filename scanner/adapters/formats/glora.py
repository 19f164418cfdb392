"""GLoRA: W + (alpha / rank) (W a1 a2 + b1 b2).

Sources: Chavan et al., 2023; LyCORIS modules/glora.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    SCALES,
    AdapterFormat,
    Arrays,
    FileTensors,
    KindRule,
    Parts,
    Projection,
    Shapes,
    Size,
    WeightChange,
    marked_by,
)
from scanner.adapters.formats.products import product_between, scale_of, tucker

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array

_PARTS = ("a1", "a2", "b1", "b2", "bm")


def _has_both_products(tensors: FileTensors) -> bool:
    return tensors.has("a1") and tensors.has("b1")


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    """The products run along the input channels."""
    import torch

    a1, a2, b1, b2 = (parts[name] for name in ("a1", "a2", "b1", "b2"))
    if len(b1) != len(weight) and len(b2) == len(weight):
        # LyCORIS before 2.0 named the factors of both products the other way round.
        a1, a2, b1, b2 = a2, a1, b2, b1
    if "bm" in parts:
        added = tucker(parts["bm"], b1.flatten(1).T, b2.flatten(1))
    else:
        added = (b1.flatten(1) @ b2.flatten(1)).reshape(weight.shape)
    turned = torch.einsum("oi...,ij,jk->ok...", weight, a1.flatten(1), a2.flatten(1))
    return (turned + added) * scale_of({**parts, "b2": b2}, "b2")


def _project(parts: Arrays, signs: Projection) -> Array:
    """Between signs, b1 b2; W a1 a2 depends on the weight."""
    first, second = parts["b1"], parts["b2"]
    if len(first) < len(second):  # LyCORIS before 2.0, as above; a rank is below the outputs
        first, second = second, first
    scale = scale_of({**parts, "b2": second}, "b2")
    return product_between(first, second, parts.get("bm"), signs) * scale


def _size(parts: Shapes) -> Size | None:
    first, second = parts.get("b1", ()), parts.get("b2", ())
    if "bm" in parts or len(first) < 2 or len(second) < 2:
        return None
    if first[0] < second[0]:  # LyCORIS before 2.0, as above; a rank is below the outputs
        first, second = second, first
    return first[0], second[1]


GLORA = AdapterFormat(
    "GLoRA",
    endings=tuple((f".{part}.weight", part) for part in _PARTS),
    kinds=(KindRule("glora", _has_both_products),),
    changes=(WeightChange("a1", marked_by("a1", used=SCALES.union(_PARTS)), _delta, _project),),
    size=_size,
)
