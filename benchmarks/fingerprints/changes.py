"""Change adapters as people do before they upload them again: precision, rank, names, merges."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch

from benchmarks.likeness.changes import _fp8, _is_last_factor, _is_matrix, _noisy, _pruned
from crawlers.checkpoints.header import FileSource, read_header
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.formats.products import scale_of
from scanner.adapters.geometries.unet_names import block_starts
from scanner.miniature.world import BASE_MODEL

Tensors = dict[str, torch.Tensor]
Modules = dict[str, Tensors]


def module_paths() -> dict[str, str]:
    """The dotted module paths of the miniature UNet, by their flat names."""
    header = read_header(FileSource(BASE_MODEL / "unet" / "diffusion_pytorch_model.safetensors"))
    paths = {name.rpartition(".")[0] for name in header.tensors}
    return {path.replace(".", "_"): path for path in paths}


_PATHS = module_paths()
_STARTS = block_starts(3, 1, {0, 1})
_RESNET = {"conv1": "in_layers_2", "conv2": "out_layers_3"}
_PREFIX = re.compile(r"^(?:lora_unet_|lycoris_|base_model\.model\.|unet\.)+")
_PROCESSOR = re.compile(r"\.processor\.(to_\w+)_lora$")


def modules_of(tensors: Tensors) -> Modules:
    """The parts of the modules of a LoRA by dotted path; the up factor contains the scale."""
    found: Modules = {}
    for stem, parts in parts_of_file(tensors).modules.items():
        plain = _PROCESSOR.sub(r".\1", _PREFIX.sub("", stem))
        plain += ".0" if plain.endswith("to_out") else ""
        own = {part: tensors[name].float() for part, name in parts.items()}
        if {"lora_up", "lora_down"} <= own.keys():
            own["lora_up"] = own["lora_up"] * scale_of(own, "lora_down")
            own.pop("alpha", None)
        found[_PATHS[plain.replace(".", "_")]] = own
    return found


def is_plain_lora(modules: Modules) -> bool:
    return all(parts.keys() == {"lora_up", "lora_down"} for parts in modules.values())


def in_naming(modules: Modules, naming: str) -> Tensors:
    """The tensors of a plain LoRA under the names of a trainer."""
    stem_of, up, down = _SPELLINGS[naming]
    tensors: Tensors = {}
    for path, parts in modules.items():
        stem = stem_of(path)
        tensors[f"{stem}.{up}.weight"] = parts["lora_up"].half()
        tensors[f"{stem}.{down}.weight"] = parts["lora_down"].half()
        if "kohya" in naming:
            tensors[f"{stem}.alpha"] = torch.tensor(float(len(parts["lora_down"]))).half()
    return tensors


def _original(path: str) -> str:
    for start, original in _STARTS.items():
        if path.startswith(f"{start}."):
            rest = path[len(start) + 1 :]
            rest = _RESNET.get(rest, rest) if ".resnets." in start else rest
            return f"{original}.{rest}".replace(".", "_")
    return path.replace(".", "_")


_SPELLINGS: Mapping[str, tuple[Callable[[str], str], str, str]] = {
    "kohya": (lambda path: f"lora_unet_{path.replace('.', '_')}", "lora_up", "lora_down"),
    "kohya, original blocks": (lambda path: f"lora_unet_{_original(path)}", "lora_up", "lora_down"),
    "PEFT": (lambda path: f"base_model.model.{path}", "lora_B", "lora_A"),
    "diffusers": (lambda path: f"unet.{path}", "lora_B", "lora_A"),
    "diffusers 2": (lambda path: f"unet.{path}", "lora.up", "lora.down"),
}


def resized(modules: Modules, factor: float) -> Modules:
    """A LoRA of another rank, by singular values, as kohya's resize_lora does."""
    changed: Modules = {}
    for path, parts in modules.items():
        up, down = parts["lora_up"].flatten(1), parts["lora_down"].flatten(1)
        rank = max(1, round(len(down) * factor))
        left, values, right = torch.linalg.svd(up @ down, full_matrices=False)
        root = values[:rank].sqrt()
        lower = (root[:, None] * right[:rank]).reshape(-1, *parts["lora_down"].shape[1:])
        upper = (left[:, :rank] * root).reshape(len(up), -1, *parts["lora_up"].shape[2:])
        changed[path] = {"lora_up": upper, "lora_down": lower}
    return changed


def as_difference(modules: Modules) -> Tensors:
    """A LoRA written out as full differences."""
    return {
        f"lora_unet_{path.replace('.', '_')}.diff": (
            parts["lora_up"].flatten(1) @ parts["lora_down"].flatten(1)
        )
        .reshape(len(parts["lora_up"]), *parts["lora_down"].shape[1:])
        .half()
        for path, parts in modules.items()
    }


def rotated(modules: Modules, seed: int) -> Modules:
    """The same change through other factors: a random rotation inside the low rank."""
    generator = torch.Generator().manual_seed(seed)
    changed: Modules = {}
    for path, parts in modules.items():
        down = parts["lora_down"]
        turn = torch.linalg.qr(torch.randn(len(down), len(down), generator=generator))[0]
        upper = (parts["lora_up"].flatten(1) @ turn).reshape(parts["lora_up"].shape)
        lower = (turn.T @ down.flatten(1)).reshape(down.shape)
        changed[path] = {"lora_up": upper, "lora_down": lower}
    return changed


def merged(sources: Sequence[Modules], strengths: Sequence[float]) -> Modules:
    """The weighted sum of LoRAs, exactly, with the sum of their ranks."""
    together: Modules = {}
    for path in sorted({path for source in sources for path in source}):
        own = [
            (source[path], strength)
            for source, strength in zip(sources, strengths, strict=True)
            if path in source
        ]
        together[path] = {
            "lora_up": torch.cat([parts["lora_up"] * strength for parts, strength in own], dim=1),
            "lora_down": torch.cat([parts["lora_down"] for parts, _ in own]),
        }
    return together


def _int8(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Rounded to 255 steps for each tensor, and written as fp16 again."""
    if not _is_matrix(name, tensor):
        return tensor
    step = tensor.float().abs().max() / 127
    return ((tensor.float() / step).round() * step).half()


def _bf16(_name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def _half(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor * 0.5 if _is_last_factor(name) or name.endswith(".diff") else tensor


def _with_noise(name: str, tensor: torch.Tensor) -> torch.Tensor:
    seed = sum(name.encode())
    return _noisy(name, tensor, torch.Generator().manual_seed(seed))


BY_TENSOR: Mapping[str, Callable[[str, torch.Tensor], torch.Tensor]] = {
    "bf16": _bf16,
    "fp8": _fp8,
    "8-bit": _int8,
    "10 % noise": _with_noise,
    "30 % pruned": _pruned,
    "half strength": _half,
}
RESIZED = {"rank x 2": 2.0, "rank / 2": 0.5, "rank / 4": 0.25}
NAMINGS = ("kohya", "kohya, original blocks", "PEFT", "diffusers", "diffusers 2")


def copies_of(tensors: Tensors) -> dict[str, Tensors]:
    """Every changed copy of an adapter, by what was done to it."""
    copies = {
        change: {name: function(name, tensor) for name, tensor in tensors.items()}
        for change, function in BY_TENSOR.items()
    }
    modules = modules_of(tensors) if _is_lora_file(tensors) else {}
    if not modules or not is_plain_lora(modules):
        return copies
    for naming in NAMINGS:
        copies[f"renamed: {naming}"] = in_naming(modules, naming)
    for change, factor in RESIZED.items():
        copies[change] = in_naming(resized(modules, factor), "kohya")
    copies["full difference"] = as_difference(modules)
    copies["rotated inside the rank"] = in_naming(rotated(modules, 1), "kohya")
    return copies


def _is_lora_file(tensors: Tensors) -> bool:
    return any("lora_" in name or ".lora." in name or "_lora." in name for name in tensors)
