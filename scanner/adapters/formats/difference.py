"""Full difference and norm layers: W + diff, b + diff_b.

Sources: LyCORIS modules/full.py and norms.py; ComfyUI comfy/lora.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    ALPHA,
    AdapterFormat,
    Arrays,
    BiasChange,
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


def _difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["diff"].reshape(weight.shape)


def _norm_difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["w_norm"].reshape(weight.shape)


def _project_difference(parts: Arrays, signs: Projection) -> Array:
    return _between(parts["diff"], signs)


def _project_norm(parts: Arrays, signs: Projection) -> Array:
    return _between(parts["w_norm"], signs)


def _between(change: Array, signs: Projection) -> Array:
    flat = change.reshape(len(change), -1)
    return signs.rows(len(flat)) @ flat @ signs.columns(flat.shape[1])


def _size(parts: Shapes) -> Size | None:
    shape = parts.get("diff", ())
    if not shape:
        return None
    return shape[0], shape[1] if len(shape) > 1 else 0  # a norm has no inputs


DIFFERENCE = AdapterFormat(
    "full difference",
    endings=(
        (".diff_b", "diff_b"),
        (".diff", "diff"),
        (".w_norm", "w_norm"),
        (".b_norm", "b_norm"),
    ),
    kinds=(kind_with("full-diff", "diff", "diff_b", "w_norm", "b_norm"),),
    named_last=True,
    changes=(
        WeightChange(
            "diff", marked_by("diff", used=ALPHA | {"diff"}), _difference, _project_difference
        ),
        WeightChange(
            "w_norm", marked_by("w_norm", used=ALPHA | {"w_norm"}), _norm_difference, _project_norm
        ),
    ),
    biases=(
        BiasChange("diff_b", lambda parts: parts["diff_b"]),
        BiasChange("b_norm", lambda parts: parts["b_norm"]),
    ),
    size=_size,
)
