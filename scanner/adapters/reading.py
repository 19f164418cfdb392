"""Read an adapter file and sort its tensors by module and part, whatever their naming."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from scanner.adapters.embeddings import Tables, rows_of
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.header_strengths import strengths_in_header
from scanner.errors import UnfaithfulLoad

Tensors = dict[str, torch.Tensor]

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_MALFORMED = re.compile(r"^lora_unet_.*_lora_(down|up)\.weight$")


@dataclass(frozen=True, slots=True)
class AdapterTensors:
    """The sorted tensors of an adapter file.

    Attributes:
        modules: tensors by the module's name in the file and the part.
        embeddings: tables [vectors, width] by learned word and text encoder.
        leftover: names of tensors that are not known.
    """

    modules: dict[str, Tensors]
    embeddings: dict[str, Tables] = field(default_factory=dict)
    leftover: tuple[str, ...] = ()


def read_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[Tensors, dict[str, str]]:
    """All tensors of a file, and its metadata.

    Args:
        device: to load tensors to; single numbers such as alpha stay on the CPU, where reading them
            does not wait for the device.

    Raises:
        UnfaithfulLoad: the file cannot be read, or a number in it is not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = (
                {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
                if torch.device(device).type == "cpu"
                else _sent(file, path, device)
            )
    except (SafetensorError, OSError) as error:
        raise UnfaithfulLoad(f"the file cannot be read: {error}") from error
    checked = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if broken := [
        name
        for name, good in zip(checked, all_finite(list(checked.values())), strict=True)
        if not good
    ]:
        raise UnfaithfulLoad(
            f"{len(broken)} tensors hold NaN or infinity, such as {broken[0]}; the file is damaged"
        )
    return tensors, metadata


def _sent(file: Any, path: Path, device: torch.device | str) -> Tensors:
    """An opened file's tensors on a device, in one transfer.

    A transfer for each tensor took longer than merging them. A safetensors file ends with the bytes
    of its tensors, in the order of their offsets and without gaps, which opening it has checked.
    """
    shapes = {name: (part.get_dtype(), part.get_shape()) for name, part in _slices(file)}
    counts = {
        name: math.prod(shape) * _TYPES[dtype].itemsize for name, (dtype, shape) in shapes.items()
    }
    # Pinned memory is sent several times faster, and torch keeps it for the next file.
    on_cpu = torch.empty(
        sum(counts.values()), dtype=torch.uint8, pin_memory=torch.cuda.is_available()
    )
    with path.open("rb") as weights:
        weights.seek(-len(on_cpu), os.SEEK_END)
        if weights.readinto(on_cpu.numpy().data) != len(on_cpu):
            raise OSError("it became shorter while it was read")
    on_device = on_cpu.to(device, non_blocking=True)
    tensors: Tensors = {}
    start = 0
    for name, (dtype, shape) in shapes.items():
        single = math.prod(shape) == 1
        flat = (on_cpu if single else on_device)[start : start + counts[name]]
        # A tensor that begins at an odd byte cannot be viewed in place.
        aligned = flat.clone() if single or start % _TYPES[dtype].itemsize else flat
        tensors[name] = aligned.view(_TYPES[dtype]).reshape(shape)
        start += counts[name]
    return tensors


def _slices(file: Any) -> Iterator[tuple[str, Any]]:
    for name in file.offset_keys():
        part = file.get_slice(name)
        if part.get_dtype() not in _TYPES:
            raise UnfaithfulLoad(
                f"numbers of precision {part.get_dtype()} cannot be read, such as those of {name}"
            )
        yield name, part


def all_finite(tensors: list[torch.Tensor]) -> list[bool]:
    """Whether all numbers are finite, for each tensor.

    All tensors are checked together, because each answer waits for the device.
    """
    finite = [True] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for place, tensor in enumerate(tensors):
        if tensor.numel():
            alike.setdefault((tensor.device, tensor.dtype), []).append(place)
    for (_, dtype), places in alike.items():
        # fp8 has no norm. The largest absolute number is NaN where any is.
        wide = [
            tensors[place].float() if dtype.itemsize == 1 else tensors[place] for place in places
        ]
        largest = torch.stack(torch._foreach_norm(wide, math.inf))  # noqa: SLF001  as clip_grad_norm_ does
        for place, answer in zip(places, torch.isfinite(largest).tolist(), strict=True):
            finite[place] = answer
    return finite


def anatomy_of(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> AdapterTensors:
    """Sort the tensors of an adapter.

    Raises:
        UnfaithfulLoad: names are malformed so that other loaders skip them silently.
    """
    if malformed := next(filter(_MALFORMED.match, tensors), None):
        raise UnfaithfulLoad(
            f"{malformed} has '_lora_' for '.lora_': loaders find nothing in such a file"
        )
    sorted_names = parts_of_file(tensors)
    flat = {
        name
        for word in sorted_names.words.values()
        for name in word.values()
        if not tensors[name].dim()
    }
    modules = {
        stem: {part: tensors[name] for part, name in parts.items()}
        for stem, parts in sorted_names.modules.items()
    }
    embeddings = {
        word: {
            encoder: rows_of(tensors[name]) for encoder, name in tables.items() if name not in flat
        }
        for word, tables in sorted_names.words.items()
    }
    leftover = (*sorted_names.leftover, *sorted(flat))
    _take_alphas(modules, metadata)
    return AdapterTensors(
        modules, {word: tables for word, tables in embeddings.items() if tables}, leftover
    )


def _take_alphas(modules: dict[str, Tensors], metadata: Mapping[str, str]) -> None:
    """Add alpha and rank-stabilised scaling from the header to modules without their own alpha.

    Raises:
        UnfaithfulLoad: the header contradicts itself or the tensors, so that the strength cannot be
            known.
    """
    lora = {stem: parts for stem, parts in modules.items() if "lora_down" in parts}
    ranks = {
        stem: len(parts["lora_down"]) for stem, parts in lora.items() if parts["lora_down"].dim()
    }
    own_alphas = {stem for stem, parts in lora.items() if "alpha" in parts}
    for stem, strength in strengths_in_header(ranks, own_alphas, metadata).items():
        if strength.alpha is not None:
            lora[stem]["alpha"] = torch.tensor(strength.alpha)
        if strength.rank_stabilised:
            lora[stem]["rslora"] = torch.tensor(1.0)
