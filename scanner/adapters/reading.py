"""An adapter file taken apart: which tensors belong to which module, under one vocabulary for all namings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from scanner.errors import UnfaithfulLoad

Tensors = dict[str, torch.Tensor]

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
            read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise UnfaithfulLoad(f"the file cannot be read: {error}") from error
    tensors = {name: tensor if tensor.numel() == 1 else tensor.to(device) for name, tensor in read.items()}
    checked = {name: all_finite(tensor) for name, tensor in tensors.items() if tensor.is_floating_point()}
    if broken := [name for name, good in zip(checked, answers(list(checked.values())), strict=True) if not good]:
        raise UnfaithfulLoad(f"{len(broken)} tensors hold NaN or infinity, such as {broken[0]}; the file is damaged")
    return tensors, metadata


def all_finite(tensor: torch.Tensor) -> torch.Tensor:
    """Whether no number is NaN or infinite, as a bool tensor on the same device."""
    # fp8 has no isfinite.
    return torch.isfinite(tensor.float()).all()


def answers(flags: list[torch.Tensor]) -> list[bool]:
    """Bool tensors read all at once: each question makes the program wait for the device."""
    told = [False] * len(flags)
    for device in {flag.device for flag in flags}:
        places = [place for place, flag in enumerate(flags) if flag.device == device]
        for place, answer in zip(places, torch.stack([flags[place] for place in places]).tolist(), strict=True):
            told[place] = answer
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
