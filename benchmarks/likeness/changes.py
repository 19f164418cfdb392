"""Change adapters as people do before they share them again: scrub, quantise, prune, merge."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from benchmarks.likeness.inventory import Derived

Tensors = dict[str, torch.Tensor]


def read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def derive(
    derived: Derived, sources: list[Tensors], metadata: dict[str, str]
) -> tuple[Tensors, dict[str, str] | None]:
    """The tensors of a derived file, and its metadata; None for a header without metadata."""
    first = sources[0]
    if derived.change == "scrubbed":
        return first, None
    if derived.change == "fp8":
        return {name: _fp8(name, tensor) for name, tensor in first.items()}, metadata
    if derived.change == "noise":
        generator = torch.Generator().manual_seed(5)
        return {name: _noisy(name, tensor, generator) for name, tensor in first.items()}, metadata
    if derived.change == "pruned":
        return {name: _pruned(name, tensor) for name, tensor in first.items()}, metadata
    if derived.change == "half strength":
        return {
            name: tensor * 0.5 if _is_last_factor(name) else tensor
            for name, tensor in first.items()
        }, metadata
    return merged(sources, [1.0] * len(sources)), metadata


def _is_last_factor(name: str) -> bool:
    return name.endswith(
        (
            "lora_up.weight",
            "lora_B.weight",
            "lora.up.weight",
            "_lora.up.weight",
            "hada_w2_a",
            "lokr_w2",
            "lokr_w2_a",
        )
    )


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return tensor.dim() > 1 and "dora_scale" not in name and "magnitude" not in name


def _fp8(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float8_e4m3fn) if _is_matrix(name, tensor) else tensor


def _noisy(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not _is_matrix(name, tensor):
        return tensor
    noise = torch.randn(tensor.shape, generator=generator) * tensor.float().std() * 0.1
    return (tensor.float() + noise).to(tensor.dtype)


def _pruned(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The smallest 30 % of each factor's numbers set to zero, as pruners do."""
    if not _is_matrix(name, tensor):
        return tensor
    limit = tensor.float().abs().flatten().kthvalue(max(1, int(tensor.numel() * 0.3))).values
    return torch.where(tensor.float().abs() > limit, tensor, torch.zeros_like(tensor))


def merged(sources: list[Tensors], weights: list[float]) -> Tensors:
    """The exact weighted sum of kohya LoRAs, with the sum of their ranks."""
    summed: Tensors = {}
    for stem in sorted({name.split(".")[0] for source in sources for name in source}):
        downs, ups = [], []
        for source, weight in zip(sources, weights, strict=True):
            down, up = source[f"{stem}.lora_down.weight"], source[f"{stem}.lora_up.weight"]
            alpha = float(source.get(f"{stem}.alpha", torch.tensor(down.shape[0])))
            downs.append(down.float())
            ups.append(up.float() * (weight * alpha / down.shape[0]))
        summed[f"{stem}.lora_down.weight"] = torch.cat(downs).half()
        summed[f"{stem}.lora_up.weight"] = torch.cat(ups, dim=1).half()
        summed[f"{stem}.alpha"] = torch.tensor(float(sum(len(down) for down in downs))).half()
    return summed
