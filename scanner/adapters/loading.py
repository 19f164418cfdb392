"""Loading an adapter into a diffusers pipeline, and proving that it really went in.

diffusers drops some tensors with a warning, injects nothing from others without one, and takes NaN
in silence (measured on 0.42.1). A load counts only if as many modules were injected as the file
holds pairs and every number is finite; whether images change is checked later, on images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file

from scanner.adapters.families import down_shapes, unpaired
from scanner.errors import NotScannable, UnfaithfulLoad

log = logging.getLogger(__name__)

LOADABLE_KINDS = ("lora", "locon")
_ADAPTER_NAME = "examined"


def _networks(pipeline: DiffusionPipeline) -> dict[str, torch.nn.Module]:
    names = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
    return {name: network for name in names if (network := getattr(pipeline, name, None)) is not None}


def injected_modules(pipeline: DiffusionPipeline) -> int:
    """How many modules of the pipeline carry the adapter."""
    return sum(
        isinstance(module, BaseTunerLayer) and _ADAPTER_NAME in getattr(module, "lora_A", {})
        for network in _networks(pipeline).values()
        for module in network.modules()
    )


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(path)
    broken = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all()
    ]
    if broken:
        raise UnfaithfulLoad(f"{len(broken)} tensors hold NaN or infinity, such as {broken[0]}; the file is damaged")
    return tensors


@contextmanager
def adapter_loaded(pipeline: DiffusionPipeline, path: Path, kind: str) -> Iterator[int]:
    """Load an adapter for the duration of a with-block; gives the number of injected modules.

    Raises:
        NotScannable: this kind cannot be loaded faithfully.
        UnfaithfulLoad: it did not go in whole.
    """
    if kind not in LOADABLE_KINDS:
        raise NotScannable(f"sampling {kind} files is not supported yet; nothing can be said about this file")
    tensors = _read_tensors(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if alone := unpaired(shapes):
        raise UnfaithfulLoad(
            f"{len(alone)} adapter tensors lack their other half, such as {alone[0]}; the file is damaged"
        )
    pairs = len(down_shapes(shapes))
    try:
        _load(pipeline, tensors)
        injected = injected_modules(pipeline)
        if injected != pairs:
            raise UnfaithfulLoad(
                f"only {injected} of the file's {pairs} adapter modules went into the base model; samples would not be faithful"
            )
        yield injected
    finally:
        pipeline.unload_lora_weights()


def _load(pipeline: DiffusionPipeline, tensors: dict[str, Any]) -> None:
    try:
        pipeline.load_lora_weights(tensors, adapter_name=_ADAPTER_NAME)
    except (ValueError, KeyError, RuntimeError, IndexError, AttributeError, TypeError) as error:
        first_line = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UnfaithfulLoad(f"diffusers cannot load this file into the base model: {first_line}") from error


def set_scale(pipeline: DiffusionPipeline, scale: float | None) -> None:
    """Weigh the loaded adapter; None switches it off, which is the control."""
    if scale is None:
        pipeline.disable_lora()
    else:
        pipeline.enable_lora()
        pipeline.set_adapters([_ADAPTER_NAME], [scale])
