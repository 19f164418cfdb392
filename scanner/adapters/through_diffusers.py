"""Load adapters whose names only diffusers' converters know, and take over the exact changes.

diffusers silently drops, renames and splits tensors. So the energy of the change is compared before
and after: splitting a fused matrix by rows keeps the sum of squares of up @ down, while dropping or
misreading a tensor does not.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from scanner.adapters.formats.products import scale_of
from scanner.adapters.merging import Change
from scanner.adapters.reading import AdapterTensors, Tensors
from scanner.adapters.targets import networks_of
from scanner.errors import UnfaithfulLoad, first_line

log = logging.getLogger(__name__)
# PEFT writes the name of its adapter behind the letter and loads files without it.
_ADAPTER_NAME = re.compile(r"\.lora_(A|B)\.[^.]+\.(weight|bias)$")
_NAME = "examined"
_TOLERANCE = 1e-3  # half-precision files lose a few 1e-4 of their energy when rounded


def changes_through_diffusers(
    pipeline: Any, tensors: Tensors, anatomy: AdapterTensors
) -> list[Change]:
    """The changes that diffusers makes of a LoRA; the pipeline stays unchanged.

    Raises:
        UnfaithfulLoad: diffusers refuses the file, or loaded something else than the file holds.
    """
    expected = sum(_energy(parts) for parts in anatomy.modules.values())
    try:
        try:
            # Clones: a state dict's tensors become live parameters.
            pipeline.load_lora_weights(_with_header_alphas(tensors, anatomy), adapter_name=_NAME)
        except (
            ValueError,
            KeyError,
            RuntimeError,
            IndexError,
            AttributeError,
            TypeError,
            AssertionError,
        ) as error:
            log.info("diffusers cannot load it", exc_info=True)
            raise UnfaithfulLoad(
                f"diffusers cannot load this file into the base model: {first_line(error)}"
            ) from error
        deltas = _deltas(pipeline)
    finally:
        if hasattr(pipeline, "unload_lora_weights"):  # A pipeline without it has loaded nothing.
            pipeline.unload_lora_weights()
    loaded = sum(float(delta.float().square().sum()) for delta in deltas.values())
    if not deltas or abs(loaded - expected) > _TOLERANCE * expected:
        share = loaded / expected if expected else 0.0
        raise UnfaithfulLoad(
            f"diffusers put {len(deltas)} modules with {share:.0%} of the file's change into the "
            "base model; samples would not be faithful"
        )
    return [Change(((place, None, 1),), _constant(delta)) for place, delta in deltas.items()]


def _with_header_alphas(tensors: Tensors, anatomy: AdapterTensors) -> Tensors:
    """Copies of a file's tensors under PEFT's plain names, scaled by the alpha of the header."""
    in_file = {id(tensor) for tensor in tensors.values()}
    factors: dict[int, float] = {}
    for parts in anatomy.modules.values():
        if {"lora_down", "lora_up"} <= parts.keys():
            own = {name: part for name, part in parts.items() if id(part) in in_file}
            factors[id(parts["lora_up"])] = scale_of(parts, "lora_down") / scale_of(
                own, "lora_down"
            )
    return {
        _ADAPTER_NAME.sub(r".lora_\1.\2", name): tensor * factors.get(id(tensor), 1.0)
        for name, tensor in tensors.items()
    }


def _constant(delta: torch.Tensor) -> Any:
    return lambda weight: delta.to(weight.device, weight.dtype).reshape(weight.shape)


@torch.no_grad()
def _deltas(pipeline: Any) -> dict[tuple[str, str, str], torch.Tensor]:
    return {
        (network, path, "weight"): module.get_delta_weight(_NAME).clone()
        for network, part in networks_of(pipeline).items()
        for path, module in part.named_modules()
        if isinstance(module, BaseTunerLayer) and _NAME in getattr(module, "lora_A", {})
    }


def _energy(parts: Mapping[str, torch.Tensor]) -> float:
    """Sum of squares of scale * up @ down, without computing the product."""
    if not {"lora_down", "lora_up"} <= parts.keys():
        return 0.0
    down, up = parts["lora_down"].double().flatten(1), parts["lora_up"].double().flatten(1)
    return float(((up.T @ up) * (down @ down.T)).sum()) * scale_of(parts, "lora_down") ** 2
