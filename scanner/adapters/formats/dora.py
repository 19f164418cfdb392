"""DoRA: W plus the change of a LoRA, LoHa or LoKr, at a learned length.

Source: Liu et al., ICML 2024.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    AdapterFormat,
    Adjustment,
    FileTensors,
    KindRule,
    NamePattern,
    Parts,
)
from scanner.adapters.formats.lora import is_low_rank

if TYPE_CHECKING:
    from torch import Tensor


def _is_weight_decomposed(tensors: FileTensors) -> bool:
    return is_low_rank(tensors) and tensors.has("dora_scale")


def _adjust(parts: Parts, weight: Tensor, delta: Tensor) -> Tensor:
    """W + delta, scaled to a learned length for each output; in older files, for each input."""
    import torch

    magnitude, merged = parts["dora_scale"], weight + delta
    if magnitude.dim() > 1 and magnitude.shape[0] == 1 and magnitude.shape[1] == weight.shape[1]:
        lengths = merged.transpose(0, 1).flatten(1).norm(dim=1)
        lengths = lengths.reshape(1, -1, *[1] * (weight.dim() - 2))
    else:
        lengths = merged.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
    wanted = magnitude.reshape(lengths.shape)
    gain: Tensor = wanted / (lengths + torch.finfo(weight.dtype).eps)
    return merged * gain - weight


DORA = AdapterFormat(
    "DoRA",
    endings=(
        (".lora_magnitude_vector.weight", "dora_scale"),
        (".lora_magnitude_vector", "dora_scale"),
        (".dora_scale", "dora_scale"),
    ),
    # With the name of PEFT's adapter behind it, as in lora.py.
    patterns=(
        NamePattern(
            re.compile(
                r"^(?P<stem>.+)\.lora_(?P<part>magnitude_vector)"
                r"\.(?:[^.]+\.weight|(?!weight$)[^.]+)$"
            ),
            {"magnitude_vector": "dora_scale"},
        ),
    ),
    kinds=(KindRule("dora", _is_weight_decomposed),),
    named_last=True,
    adjustment=Adjustment("dora_scale", _adjust),
)
