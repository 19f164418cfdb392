"""An adapter file taken apart: which tensors belong to which module, under one vocabulary for all namings."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from scanner.errors import UnfaithfulLoad

Tensors = dict[str, torch.Tensor]

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

# Endings of tensor names and what the tensor is; the longer ones stand before those they end in.
_ENDINGS: tuple[tuple[str, str], ...] = (
    (".lora_linear_layer.down.weight", "lora_down"),
    (".lora_linear_layer.up.weight", "lora_up"),
    (".lora_A.default.weight", "lora_down"),
    (".lora_B.default.weight", "lora_up"),
    (".lora_A.weight", "lora_down"),
    (".lora_B.weight", "lora_up"),
    (".lora_B.bias", "lora_bias"),
    (".lora_down.weight", "lora_down"),
    (".lora_up.weight", "lora_up"),
    (".lora_mid.weight", "lora_mid"),
    (".lora.down.weight", "lora_down"),
    (".lora.up.weight", "lora_up"),
    (".lora_magnitude_vector.default.weight", "dora_scale"),
    (".lora_magnitude_vector.weight", "dora_scale"),
    (".lora_magnitude_vector", "dora_scale"),
    (".dora_scale", "dora_scale"),
    (".alpha", "alpha"),
    (".a1.weight", "a1"),
    (".a2.weight", "a2"),
    (".b1.weight", "b1"),
    (".b2.weight", "b2"),
    (".bm.weight", "bm"),
    (".on_input", "on_input"),
    (".oft_blocks", "oft_blocks"),
    (".rescale", "rescale"),
    (".diff_b", "diff_b"),
    (".diff", "diff"),
    (".w_norm", "w_norm"),
    (".b_norm", "b_norm"),
    *((f".hada_{name}", f"hada_{name}") for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *((f".lokr_{name}", f"lokr_{name}") for name in ("w1_a", "w1_b", "w1", "w2_a", "w2_b", "w2", "t2")),
)
# diffusers 1 and XLabs have no dot before what the tensor is: to_k_lora.down.weight, qkv_lora1.up.weight.
_PROCESSOR = re.compile(r"^(?P<stem>.+_lora[12]?)\.(?P<end>down|up|alpha)(?:\.weight)?$")
_NUMBERED = re.compile(r"^(?P<stem>(?:unet|text_encoder):\d+):(?P<end>down|up)$")
_BUNDLED = re.compile(r"^bundle_emb\.(?P<token>.+?)\.(?:string_to_param\.\*|emb_params|clip_l|clip_g)$")
_LEARNED = re.compile(r"^<.{1,60}>$")
_MALFORMED = re.compile(r"^lora_unet_.*_lora_(down|up)\.weight$")


@dataclass(frozen=True, slots=True)
class Anatomy:
    """An adapter file, sorted.

    Attributes:
        modules: tensors of each module by the module's name in the file.
        embeddings: learned tokens by name, float [vectors, width], for each text encoder in order.
        leftover: names of tensors that nothing here explains.
    """

    modules: dict[str, Tensors]
    embeddings: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    leftover: tuple[str, ...] = ()


def read_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[Tensors, dict[str, str]]:
    """All tensors of a file, and its metadata.

    Args:
        device: where tensors go; single numbers such as alpha stay on the CPU, to be read without waiting.

    Raises:
        UnfaithfulLoad: the file cannot be read, or a number in it is not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = (
                {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no mapping
                if torch.device(device).type == "cpu"
                else _sent(file, path, device)
            )
    except (SafetensorError, OSError) as error:
        raise UnfaithfulLoad(f"the file cannot be read: {error}") from error
    checked = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if broken := [name for name, good in zip(checked, all_finite(list(checked.values())), strict=True) if not good]:
        raise UnfaithfulLoad(f"{len(broken)} tensors hold NaN or infinity, such as {broken[0]}; the file is damaged")
    return tensors, metadata


def _sent(file: Any, path: Path, device: torch.device | str) -> Tensors:
    """An opened file's tensors on a device, in one transfer: one for each took longer than merging them.

    A safetensors file ends in its tensors' bytes, in the order of their offsets and with no gap between them, which
    opening it has checked.
    """
    shapes = {name: (part.get_dtype(), part.get_shape()) for name, part in _slices(file)}
    counts = {name: math.prod(shape) * _TYPES[dtype].itemsize for name, (dtype, shape) in shapes.items()}
    # Pinned memory is sent several times faster, and torch keeps it for the next file.
    here = torch.empty(sum(counts.values()), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
    with path.open("rb") as weights:
        weights.seek(-len(here), os.SEEK_END)
        if weights.readinto(here.numpy().data) != len(here):
            raise OSError("it became shorter while it was read")
    there = here.to(device, non_blocking=True)
    tensors: Tensors = {}
    start = 0
    for name, (dtype, shape) in shapes.items():
        single = math.prod(shape) == 1
        flat = (here if single else there)[start : start + counts[name]]
        # A tensor may begin at an odd byte, where its numbers cannot be read in place.
        aligned = flat.clone() if single or start % _TYPES[dtype].itemsize else flat
        tensors[name] = aligned.view(_TYPES[dtype]).reshape(shape)
        start += counts[name]
    return tensors


def _slices(file: Any) -> Iterator[tuple[str, Any]]:
    for name in file.offset_keys():
        part = file.get_slice(name)
        if part.get_dtype() not in _TYPES:
            raise UnfaithfulLoad(f"numbers of precision {part.get_dtype()} cannot be read, such as those of {name}")
        yield name, part


def all_finite(tensors: list[torch.Tensor]) -> list[bool]:
    """Whether no number is NaN or infinite, for each tensor; asked all at once, as each question waits for the device."""
    told = [True] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for place, tensor in enumerate(tensors):
        if tensor.numel():
            alike.setdefault((tensor.device, tensor.dtype), []).append(place)
    for (_, dtype), places in alike.items():
        # fp8 has no norm. The largest absolute number is NaN where any is.
        wide = [tensors[place].float() if dtype.itemsize == 1 else tensors[place] for place in places]
        largest = torch.stack(torch._foreach_norm(wide, math.inf))  # noqa: SLF001  as clip_grad_norm_ does
        for place, finite in zip(places, torch.isfinite(largest).tolist(), strict=True):
            told[place] = finite
    return told


def anatomy_of(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Anatomy:
    """Sort the tensors of an adapter.

    Raises:
        UnfaithfulLoad: names are malformed in a way that loaders skip in silence.
    """
    modules: dict[str, Tensors] = {}
    embeddings: dict[str, list[torch.Tensor]] = {}
    leftover: list[str] = []
    plain = {name for name in tensors if name.endswith(".weight")}
    for name, tensor in tensors.items():
        if _MALFORMED.match(name):
            raise UnfaithfulLoad(f"{name} has '_lora_' for '.lora_': loaders find nothing in such a file")
        if match := _BUNDLED.match(name):
            embeddings.setdefault(match["token"], []).append(_rows(tensor))
        elif _LEARNED.match(name):
            embeddings[name] = [_rows(tensor)]
        elif (part := _part_of(name)) is not None and part[1] not in modules.get(part[0], {}):
            # Two spellings of one thing would hide each other: the second is left over, and refuses the file.
            modules.setdefault(part[0], {})[part[1]] = tensor
        elif name in plain and f"{name.removesuffix('.weight')}.on_input" in tensors:
            modules.setdefault(name.removesuffix(".weight"), {})["ia3"] = tensor
        else:
            leftover.append(name)
    _take_alphas(modules, metadata)
    return Anatomy(modules, embeddings, tuple(leftover))


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


def _part_of(name: str) -> tuple[str, str] | None:
    if match := _PROCESSOR.match(name):
        return match["stem"], {"down": "lora_down", "up": "lora_up", "alpha": "alpha"}[match["end"]]
    if match := _NUMBERED.match(name):
        return match["stem"], f"lora_{match['end']}"
    for ending, what in _ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending), what
    return None


def _take_alphas(modules: dict[str, Tensors], metadata: Mapping[str, str]) -> None:
    """PEFT and diffusers 3 keep alpha and rank-stabilised scaling in the header."""
    try:
        told = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    for stem, parts in modules.items():
        prefix = next(
            (
                f"{name}."
                for name in ("unet", "transformer", "text_encoder_2", "text_encoder")
                if stem.startswith(f"{name}.")
            ),
            "",
        )
        alpha = told.get(f"{prefix}lora_alpha", told.get("lora_alpha"))
        patterns = told.get(f"{prefix}alpha_pattern", told.get("alpha_pattern")) or {}
        for pattern, value in patterns.items() if isinstance(patterns, dict) else []:
            if stem.removeprefix(prefix).endswith(str(pattern)):
                alpha = value
        if "lora_down" in parts and "alpha" not in parts and isinstance(alpha, int | float):
            parts["alpha"] = torch.tensor(float(alpha))
        if told.get(f"{prefix}use_rslora", told.get("use_rslora")):
            parts["rslora"] = torch.tensor(1.0)
