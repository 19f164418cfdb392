"""LoRA and LoCon: W + (alpha / rank) up down, convolutions also with a core.

Sources: kohya sd-scripts networks/lora.py; LyCORIS modules/locon.py; PEFT; diffusers 1 and XLabs
x-flux (processors); cloneofsimo/lora (numbers).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    SCALES,
    AdapterFormat,
    Arrays,
    BiasChange,
    FileTensors,
    KindRule,
    NamePattern,
    Parts,
    Projection,
    Shapes,
    Size,
    WeightChange,
    dimension,
    marked_by,
)
from scanner.adapters.formats.products import product_between, scale_of, tucker

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array

MALFORMED_DOWN = "_lora_down.weight"
"""No adapter that loads has this ending, but it shows what the file was meant to be."""

_USED = frozenset({"lora_down", "lora_up", "lora_mid"}) | SCALES
_PARTS = {"down": "lora_down", "up": "lora_up", "A": "lora_down", "B": "lora_up"}
_PARTNERS = (
    (".lora_down.", ".lora_up."),
    ("_lora_down.", "_lora_up."),
    (".lora_A.", ".lora_B."),
    (".down.", ".up."),
    (":down", ":up"),
)


def unpaired(shapes: Shapes) -> list[str]:
    """Low-rank tensors whose other half is missing; other loaders fill it with zeros silently."""
    alone = []
    for name in (name for name in shapes if not name.endswith(".bias")):
        for down, up in _PARTNERS:
            for own, other in ((down, up), (up, down)):
                if own in name and name.replace(own, other) not in shapes:
                    alone.append(name)
    return alone


def _down_shapes(tensors: FileTensors) -> list[tuple[int, ...]]:
    malformed = [shape for name, shape in tensors.shapes.items() if name.endswith(MALFORMED_DOWN)]
    return [*tensors.parts.get("lora_down", ()), *malformed]


def is_low_rank(tensors: FileTensors) -> bool:
    """Whether any tensor leads into a low rank."""
    return bool(_down_shapes(tensors))


def _is_convolutional(tensors: FileTensors) -> bool:
    down = _down_shapes(tensors)
    wide = any(len(shape) == 4 and shape[2] > 1 for shape in down)
    return bool(down) and (wide or tensors.has("lora_mid"))


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    up, down = parts["lora_up"].flatten(1), parts["lora_down"]
    scale = scale_of(parts, "lora_down")
    if "lora_mid" in parts:
        return tucker(parts["lora_mid"], up.T, down.flatten(1)) * scale
    return (up @ down.flatten(1)).reshape(weight.shape) * scale


def _project(parts: Arrays, signs: Projection) -> Array:
    product = product_between(parts["lora_up"], parts["lora_down"], parts.get("lora_mid"), signs)
    return product * scale_of(parts, "lora_down")


def _bias(parts: Parts) -> Tensor:
    return parts["lora_bias"] * scale_of(parts, "lora_down")


def _size(parts: Shapes) -> Size | None:
    if not parts.keys() & {"lora_down", "lora_up"}:
        return None
    return dimension(parts, "lora_up", 0), dimension(parts, "lora_down", 1)


LORA = AdapterFormat(
    "LoRA",
    endings=(
        (".lora_linear_layer.down.weight", "lora_down"),
        (".lora_linear_layer.up.weight", "lora_up"),
        (".lora_A.weight", "lora_down"),
        (".lora_B.weight", "lora_up"),
        (".lora_B.bias", "lora_bias"),
        (".lora_down.weight", "lora_down"),
        (".lora_up.weight", "lora_up"),
        (".lora_mid.weight", "lora_mid"),
        (".lora.down.weight", "lora_down"),
        (".lora.up.weight", "lora_up"),
    ),
    patterns=(
        # diffusers 1 and XLabs: to_k_lora.down.weight, qkv_lora1.up.weight.
        NamePattern(
            re.compile(r"^(?P<stem>.+_lora[12]?)\.(?P<part>down|up|alpha)(?:\.weight)?$"), _PARTS
        ),
        NamePattern(re.compile(r"^(?P<stem>(?:unet|text_encoder):\d+):(?P<part>down|up)$"), _PARTS),
        # Behind the letter PEFT writes the name of the adapter: "default", or the trainer's choice.
        # PEFT removes it from files that it saves itself; a state dict that was saved directly
        # keeps it (peft/utils/save_and_load.py).
        NamePattern(
            re.compile(r"^(?P<stem>.+)\.lora_(?P<part>A|B|down|up)\.[^.]+\.weight$"), _PARTS
        ),
        NamePattern(
            re.compile(r"^(?P<stem>.+)\.lora_B\.[^.]+\.(?P<part>bias)$"), {"bias": "lora_bias"}
        ),
    ),
    kinds=(KindRule("locon", _is_convolutional), KindRule("lora", is_low_rank)),
    named_last=True,
    changes=(
        WeightChange("lora_down", marked_by("lora_down", "lora_up", used=_USED), _delta, _project),
    ),
    biases=(BiasChange("lora_bias", _bias),),
    size=_size,
)
