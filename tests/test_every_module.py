"""Every module of every family, in every naming, is merged as float64 arithmetic says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from scanner.adapters.geometries.geometry import family_of_model
from scanner.adapters.geometries.original_names import original_modules
from scanner.adapters.geometries.unet_names import original_names
from scanner.adapters.targets import networks_of
from scanner.sampling.base_models import known_families
from tests.exact_merges import RANK, check_merge, delta_of, pair
from tests.tiny_pipelines import PIPELINES

KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.person.weight", ".lora_B.person.weight")
AB = (".lora_A.weight", ".lora_B.weight")
# By name: what stands before and after the path of a module.
NAMINGS = {
    "Comfy": ("diffusion_model.", AB),
    "PEFT": ("base_model.model.", PEFT),
    "kohya": ("lora_unet_", KOHYA),
}
CLASS_NAMINGS = {
    **NAMINGS,
    "diffusers": ("transformer.", AB),
    "diffusers 2": ("unet.", (".lora.down.weight", ".lora.up.weight")),
    "OneTrainer": ("lora_transformer_", KOHYA),
    "LyCORIS": ("lycoris_", KOHYA),
    "VideoX-Fun": ("lora_unet__", KOHYA),
}
Pieces = Iterable[tuple[str, int | None, int]]


def test_every_family_that_is_sampled_is_here() -> None:
    assert {family_of_model(name) for name in PIPELINES} | {"Miniature"} == set(known_families())


@pytest.mark.parametrize("naming", CLASS_NAMINGS)
@pytest.mark.parametrize("family", PIPELINES)
def test_in_the_names_of_its_class(family: str, naming: str, tmp_path: Path) -> None:
    pipeline = PIPELINES[family]()
    paths = paths_of(denoiser_of(pipeline)[1])
    _check(pipeline, [(path, [(path, None, 1)]) for path in paths], naming, tmp_path)


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("family", PIPELINES)
def test_in_the_names_of_its_original_code(family: str, naming: str, tmp_path: Path) -> None:
    """What the names mean is compared with diffusers' conversion in test_geometries.py."""
    pipeline = PIPELINES[family]()
    network = denoiser_of(pipeline)[1]
    named = list(_original_modules(network))
    if not named:
        pytest.skip("its original code has the names of the class")
    _check(pipeline, named, naming, tmp_path)


def _original_modules(network: Any) -> Iterable[tuple[str, Pieces]]:
    paths = paths_of(network)
    if type(network).__name__ == "UNet2DConditionModel":
        for path, original in original_names(paths, network.config).items():
            yield original, [(path, None, 1)]
        return
    for original, pieces in original_modules(type(network).__name__, paths):
        fused = original.endswith(("to_qkv", "to_added_qkv")) or "processor" in original
        is_hunyuan = type(network).__name__ == "HunyuanImageTransformer2DModel"
        if fused or (is_hunyuan and original.endswith("_qkv") and "blocks" in original):
            continue  # the same modules once more
        yield original, pieces


def denoiser_of(pipeline: Any) -> tuple[str, Any]:
    return next(iter(networks_of(pipeline).items()))


def paths_of(network: Any) -> list[str]:
    return [
        path
        for path, part in network.named_modules()
        if getattr(part, "weight", None) is not None and part.weight.dim() > 1
    ]


def _check(pipeline: Any, named: Iterable[tuple[str, Pieces]], naming: str, folder: Path) -> None:
    """Write a LoRA for every named module, and compare every weight after loading."""
    network_name, network = denoiser_of(pipeline)
    prefix, ends = (CLASS_NAMINGS | NAMINGS)[naming]
    tensors, expected = {}, dict[str, torch.Tensor]()
    for name, pieces in named:
        weights = [network.get_submodule(path).weight for path, _, _ in pieces]
        rows = [len(weight) // parts for weight, (_, _, parts) in zip(weights, pieces, strict=True)]
        down, up = pair(sum(rows), weights[0].flatten(1).shape[1], len(tensors))
        if weights[0].dim() > 2:
            down = down.reshape(RANK, *weights[0].shape[1:])
            up = up.reshape(*up.shape, *[1] * (weights[0].dim() - 2))
        stem = prefix + (name.replace(".", "_") if prefix.endswith("_") else name)
        tensors |= {stem + ends[0]: down, stem + ends[1]: up}
        deltas = delta_of(down.flatten(1), up.flatten(1)).split(rows)
        for (path, part, parts), delta in zip(pieces, deltas, strict=True):
            place = expected.setdefault(
                f"{network_name}:{path}",
                torch.zeros(len(delta) * parts, *delta.shape[1:]).double(),
            )
            place[(part or 0) * len(delta) :][: len(delta)] = delta
    assert len(expected) > 5
    check_merge(folder / "adapter.safetensors", pipeline, tensors, expected)
