"""IA3: every input or output channel of W times 1 + w (Liu et al., NeurIPS 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    ALPHA,
    AdapterFormat,
    Arrays,
    Parts,
    Projection,
    Shapes,
    Size,
    WeightChange,
    kind_with,
    marked_by,
)

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    axis = 1 if float(parts["on_input"]) else 0
    shape = [1] * weight.dim()
    shape[axis] = weight.shape[axis]
    return weight * parts["ia3"].reshape(shape)


def _project(parts: Arrays, signs: Projection) -> Array:
    """Between signs, the factors of the channels as one column; the weight is not there."""
    factors = parts["ia3"].reshape(-1, 1)
    return signs.rows(len(factors)) @ factors @ signs.columns(1)


def _size(parts: Shapes) -> Size | None:
    """A column has one factor for each output, a row one for each input; a list may be either."""
    shape = parts.get("ia3", ())
    if len(shape) < 2:
        return None
    return (None, shape[1]) if shape[0] == 1 else (shape[0], None)


IA3 = AdapterFormat(
    "IA3",
    endings=((".on_input", "on_input"),),
    kinds=(kind_with("ia3", "on_input"),),
    weight_beside=(".on_input", "ia3"),
    changes=(
        WeightChange("ia3", marked_by("ia3", used=ALPHA | {"ia3", "on_input"}), _delta, _project),
    ),
    settings=frozenset({"on_input"}),
    size=_size,
)
