"""The table of modules agrees with the real classes, and identifies adapters in every naming."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import diffusers
import pytest
import torch

from scanner.adapters.acceptance import fitting_models
from scanner.adapters.families import find_family
from scanner.adapters.geometries import GEOMETRIES
from scanner.adapters.geometry import Geometry
from scanner.adapters.transformer_names import flux_names, sd3_names

BY_NAME = {model.name: model for model in GEOMETRIES}
SD35 = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "attention_head_dim": 64,
    "joint_attention_dim": 4096,
}
MEDIUM = {**SD35, "num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "Flux.1": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "Chroma": ("ChromaTransformer2DModel", {}),
    "Flux.2 dev": ("Flux2Transformer2DModel", {}),
    "Flux.2 Klein 4B": (
        "Flux2Transformer2DModel",
        {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
        },
    ),
    "Flux.2 Klein 9B": (
        "Flux2Transformer2DModel",
        {
            "num_layers": 8,
            "num_single_layers": 24,
            "num_attention_heads": 32,
            "joint_attention_dim": 12288,
        },
    ),
    "Qwen-Image": ("QwenImageTransformer2DModel", {}),
    "SD3 Medium": ("SD3Transformer2DModel", MEDIUM),
    "SD3.5 Medium": (
        "SD3Transformer2DModel",
        {**MEDIUM, "dual_attention_layers": tuple(range(13))},
    ),
    "Z-Image": ("ZImageTransformer2DModel", {}),
    "Lumina2": ("Lumina2Transformer2DModel", {}),
    "Wan 14B": ("WanTransformer3DModel", {"image_dim": 1280, "added_kv_proj_dim": 5120}),
    "Wan 1.3B": (
        "WanTransformer3DModel",
        {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    ),
    "HunyuanImage": ("HunyuanImageTransformer2DModel", {}),
    "HunyuanVideo": ("HunyuanVideoTransformer3DModel", {}),
    "LTX-Video 2B": ("LTXVideoTransformer3DModel", {}),
    "AuraFlow": ("AuraFlowTransformer2DModel", {}),
}


@cache
def sizes_of(name: str) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of every linear layer of the real class, by path."""
    kind, config = CLASSES[name]
    with torch.device("meta"):
        network = getattr(diffusers, kind)(**config)
    return {
        path: (part.out_features, part.in_features)
        for path, part in network.named_modules()
        if isinstance(part, torch.nn.Linear)
    }


def paths(model: Geometry, stack: str, number: int) -> dict[str, tuple[int | None, int | None]]:
    return {f"{stack}.{number}.{rest}": size for rest, size in model.stacks[stack][1].items()}


@pytest.mark.parametrize("name", CLASSES)
def test_the_table_says_what_the_real_class_has(name: str) -> None:
    real, model = sizes_of(name), BY_NAME[name]
    found = [
        stack for stack in model.stacks if any(path.startswith(f"{stack}.0.") for path in real)
    ]
    assert found
    for stack in found:
        count = model.stacks[stack][0]
        blocks = {path for path in real if path.startswith(f"{stack}.")}
        assert {int(path.removeprefix(f"{stack}.").split(".")[0]) for path in blocks} == set(
            range(count)
        )
        table = paths(model, stack, 0)
        for path in (path for path in blocks if path.startswith(f"{stack}.0.")):
            wanted = table.get(path)
            assert wanted is not None, path
            assert all(want in (None, has) for want, has in zip(wanted, real[path], strict=True)), (
                path
            )


def whole(name: str) -> dict[str, tuple[int, int]]:
    return {
        path: size
        for path, size in sizes_of(name).items()
        if not path.startswith(("noise_", "context_refiner"))
    }


NAMINGS: dict[str, Callable[[str], tuple[str, str]]] = {
    "diffusers": lambda path: (
        f"transformer.{path}.lora_A.weight",
        f"transformer.{path}.lora_B.weight",
    ),
    "PEFT, named": lambda path: (
        f"base_model.model.{path}.lora_A.x.weight",
        f"base_model.model.{path}.lora_B.x.weight",
    ),
    "kohya": lambda path: tuple(
        f"lora_unet_{path.replace('.', '_')}.lora_{half}.weight" for half in ("down", "up")
    ),  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", CLASSES)
def test_an_adapter_of_the_whole_model_fits_it(name: str, naming: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for path, (out, inner) in whole(name).items():
        down, up = NAMINGS[naming](path)
        shapes |= {down: (4, inner), up: (out, 4)}
    finding = find_family(shapes, {})
    assert name in finding.fits
    assert finding.family == BY_NAME[name].family


@pytest.mark.parametrize(
    ("name", "names"),
    [("Flux.1", flux_names), ("SD3 Medium", sd3_names), ("SD3.5 Medium", sd3_names)],
)
def test_original_names_have_the_sizes_of_the_modules_that_they_mean(
    name: str, names: Callable[..., Any]
) -> None:
    real = sizes_of(name)
    config = {"num_layers": BY_NAME[name].stacks["transformer_blocks"][0], "num_single_layers": 38}
    checked = 0
    for original, pieces in names(config):
        if all(path in real for path, _, _ in pieces):
            rows = sum(real[path][0] // parts for path, _, parts in pieces)
            shapes = {
                f"diffusion_model.{original}.lora_A.weight": (4, real[pieces[0][0]][1]),
                f"diffusion_model.{original}.lora_B.weight": (rows, 4),
            }
            models = fitting_models(shapes)
            assert not models or BY_NAME[name] in models, original
            checked += bool(models)
    assert checked > 100
