"""The change of one weight or bias by the parts of a module, whichever format they are of.

Every change is the whole one at full strength, W' - W, in the precision of the weight; at another
strength s the weight becomes W + s (W' - W). The formats are in scanner/adapters/formats/.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scanner.adapters.formats.definition import Parts, WeightChange
from scanner.adapters.formats.products import scale_of
from scanner.adapters.formats.registry import ADJUSTMENTS, BIAS_CHANGES, WEIGHT_CHANGES
from scanner.errors import UnfaithfulLoad

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Factors:
    """A change that is only a product, scale * up @ down.

    Attributes:
        up: [out, rank], in the file's precision.
        down: [rank, in], the spatial axes of a convolution flattened into `in`.
    """

    up: Tensor
    down: Tensor
    scale: float

    def fit(self, weight: Tensor) -> bool:
        """Whether the product has the weight's shape."""
        flat = (len(weight), weight.numel() // max(len(weight), 1))
        return (
            weight.dim() > 1
            and self.up.shape[1] == len(self.down)
            and (len(self.up), self.down.shape[1]) == flat
        )


def factors_of(parts: Parts) -> Factors | None:
    """The factors of a LoRA; None where the change is more than their product."""
    if not parts.keys() >= {"lora_down", "lora_up"} or parts.keys() & {"lora_mid", "dora_scale"}:
        return None
    up, down = parts["lora_up"], parts["lora_down"]
    if (
        min(up.dim(), down.dim()) < 2
        or not len(down)
        or parts.get("alpha", up[:1, :1]).numel() != 1
    ):
        return None
    return Factors(up.flatten(1), down.flatten(1), scale_of(parts, "lora_down"))


def change_of_weight(parts: Parts, weight: Tensor) -> Tensor:
    """The change W' - W of one weight.

    Args:
        parts: every tensor that the file holds for it, in the weight's precision and on its device.
        weight: [out, in] or [out, in, height, width].

    Raises:
        UnfaithfulLoad: the parts belong to no known algorithm, or do not fit the weight.
    """
    change = _change_for(parts)
    if change is None:
        raise UnfaithfulLoad(
            f"no known adapter algorithm has the tensors {', '.join(sorted(parts))}"
        )
    try:
        delta = change.delta(parts, weight)
        for adjustment in ADJUSTMENTS:
            if adjustment.mark in parts:
                delta = adjustment.adjust(parts, weight, delta)
    except (RuntimeError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        shapes = {name: tuple(part.shape) for name, part in parts.items()}
        raise UnfaithfulLoad(
            f"tensors of shapes {shapes} do not fit a weight of shape {tuple(weight.shape)}"
        ) from error
    if delta.shape != weight.shape:
        raise UnfaithfulLoad(
            f"a change of shape {tuple(delta.shape)} does not fit a weight of shape "
            f"{tuple(weight.shape)}"
        )
    return delta


def change_of_bias(parts: Parts) -> Tensor | None:
    """The change of the bias beside a weight, None if no part changes it."""
    return next((bias.delta(parts) for bias in BIAS_CHANGES if bias.part in parts), None)


def changes_weight(parts: Parts) -> bool:
    """Whether any part changes the weight."""
    return _change_for(parts) is not None


def changes_bias(parts: Parts) -> bool:
    """Whether any part changes the bias."""
    return any(bias.part in parts for bias in BIAS_CHANGES)


def _change_for(parts: Parts) -> WeightChange | None:
    return next((change for change in WEIGHT_CHANGES if change.mark in parts), None)
