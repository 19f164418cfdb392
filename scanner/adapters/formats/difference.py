"""Full difference and norm layers: W + diff, b + diff_b.

Sources: LyCORIS modules/full.py and norms.py; ComfyUI comfy/lora.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    ALPHA,
    AdapterFormat,
    BiasChange,
    Parts,
    Shapes,
    Size,
    WeightChange,
    kind_with,
    marked_by,
)

if TYPE_CHECKING:
    from torch import Tensor


def _difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["diff"].reshape(weight.shape)


def _norm_difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["w_norm"].reshape(weight.shape)


def _size(parts: Shapes) -> Size | None:
    shape = parts.get("diff", ())
    return (shape[0], shape[1]) if len(shape) > 1 else None


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
        WeightChange("diff", marked_by("diff", used=ALPHA | {"diff"}), _difference),
        WeightChange("w_norm", marked_by("w_norm", used=ALPHA | {"w_norm"}), _norm_difference),
    ),
    biases=(
        BiasChange("diff_b", lambda parts: parts["diff_b"]),
        BiasChange("b_norm", lambda parts: parts["b_norm"]),
    ),
    size=_size,
)
