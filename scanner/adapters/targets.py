"""The weight of a pipeline that a tensor name of an adapter means, in all namings of trainers.

kohya replaces dots by underscores, which cannot be reversed. So all names that trainers use are
generated for each module of the pipeline, and names of a file are looked up among them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from scanner.adapters.experts import Expert
from scanner.adapters.geometries.original_names import original_modules
from scanner.adapters.geometries.unet_names import original_names

_FIRST_EXPERT, SECOND_EXPERT = "transformer", "transformer_2"
_NAMED_EXPERT = re.compile(r"(?:^|\.)transformer_[12]\.")
DENOISERS = ("unet", "transformer", SECOND_EXPERT)
NETWORKS = (*DENOISERS, "text_encoder", "text_encoder_2", "text_encoder_3")
# Names of text encoders; OneTrainer calls the T5 of Flux te2, kohya te3.
_KOHYA_ENCODERS = {
    "text_encoder": ("lora_te_", "lora_te1_", "lycoris_te_", "lycoris_te1_"),
    "text_encoder_2": ("lora_te2_", "lycoris_te2_"),
    "text_encoder_3": ("lora_te3_", "lycoris_te3_"),
}
_KOHYA_DENOISER = (
    "lora_unet_",
    "lora_unet__",  # VideoX-Fun
    "lora_transformer_",
    "lycoris_",
    "lycoris_unet_",
    "oft_unet_",
    "lora_prior_unet_",
)
_DOTTED_DENOISER = (
    "",
    "unet.",
    "transformer.",
    "diffusion_model.",
    "model.diffusion_model.",
    "base_model.model.",
    "base_model.",
    "base_model.model.unet.",
    "base_model.model.transformer.",
    "base_model.model.diffusion_model.",
    "model.",
    "dit.",
    "pipe.dit.",
    "net.",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one module: all of them, or one of several equal parts."""

    network: str
    path: str
    part: int | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Target:
    """The meaning of a name in a file: one module, or several whose rows the file stacks."""

    pieces: tuple[Piece, ...]


def networks_of(pipeline: Any) -> dict[str, torch.nn.Module]:
    """The networks of a pipeline that adapters can change, by name."""
    return {
        name: network for name in NETWORKS if (network := getattr(pipeline, name, None)) is not None
    }


# Generating the names takes twenty milliseconds for SDXL, and they are the same for every file.
_known: WeakKeyDictionary[torch.nn.Module, dict[str, Target]] = WeakKeyDictionary()


def target_names(pipeline: Any) -> dict[str, Target]:
    """Every name that a trainer could use for a module of this pipeline."""
    networks = networks_of(pipeline)
    denoiser = next(iter(networks.values()))
    if denoiser not in _known:
        _known[denoiser] = _target_names(networks)
    return _known[denoiser]


def _target_names(networks: Mapping[str, torch.nn.Module]) -> dict[str, Target]:
    named: dict[str, Target] = {}
    for network, module in networks.items():
        paths = [
            path
            for path, part in module.named_modules()
            if getattr(part, "weight", None) is not None
        ]
        spell = _denoiser_spellings if network in DENOISERS else _encoder_spellings
        for path in paths:
            target = Target((Piece(network, path),))
            named |= dict.fromkeys(spell(network, path), target)
            if network in DENOISERS and SECOND_EXPERT in networks:
                named |= dict.fromkeys(_expert_spellings(network, path), target)
        if network in DENOISERS:
            for original, target in _originals(network, module, paths):
                spellings = [*_denoiser_spellings(network, original)]
                if SECOND_EXPERT in networks:
                    spellings += _expert_spellings(network, original)
                for spelling in spellings:
                    named.setdefault(spelling, target)
    if "text_encoder_3" not in networks:
        # In a pipeline with two encoders kohya still calls Flux's T5 the third.
        named |= {
            name.replace("lora_te2_", "lora_te3_", 1): target
            for name, target in named.items()
            if name.startswith("lora_te2_")
        }
    return named


def _expert_spellings(network: str, path: str) -> Iterator[str]:
    """Names that state which of two denoisers they mean; the first one is number 1."""
    numbered = network if network == SECOND_EXPERT else f"{network}_1"
    for prefix in ("", "diffusion_model.", "base_model.model."):
        yield f"{prefix}{numbered}.{path}"


def _denoiser_spellings(network: str, path: str) -> Iterator[str]:
    if network == SECOND_EXPERT:
        return
    flat = path.replace(".", "_")
    for prefix in _KOHYA_DENOISER:
        yield prefix + flat
    for prefix in {*_DOTTED_DENOISER, f"{network}."}:
        yield prefix + path
    if ".attn" in path and ".processor." not in path:
        # diffusers 1 puts the layer after the processor and omits the number of to_out.0.
        block, _, layer = path.removesuffix(".0").rpartition(".")
        for prefix in ("", "unet."):
            yield f"{prefix}{block}.processor.{layer}_lora"


def _encoder_spellings(network: str, path: str) -> Iterator[str]:
    bare = path.removeprefix("text_model.")
    for inner in (bare, f"text_model.{bare}"):
        for prefix in _KOHYA_ENCODERS[network]:
            yield prefix + inner.replace(".", "_")
        yield f"{network}.{inner}"
        yield f"base_model.model.{network}.{inner}"
        if network == "text_encoder":
            yield f"base_model.model.{inner}"


def _originals(
    network: str, module: torch.nn.Module, paths: list[str]
) -> Iterator[tuple[str, Target]]:
    config: Any = getattr(module, "config", {})
    if network == "unet":
        for path, original in original_names(paths, config).items():
            yield original, Target((Piece(network, path),))
        return
    for original, pieces in original_modules(type(module).__name__, paths):
        yield (
            original,
            Target(tuple(Piece(network, path, part, parts) for path, part, parts in pieces)),
        )


def in_experts(
    target: Target, stem: str, networks: Collection[str], expert: Expert | None
) -> list[Target]:
    """Return the targets of a module in the experts of a pipeline.

    Args:
        stem: name of the module in the file; it may state the expert.
        networks: names of the networks of the pipeline.
        expert: the expert of the file; None for both.
    """
    is_denoiser = all(piece.network == _FIRST_EXPERT for piece in target.pieces)
    if SECOND_EXPERT not in networks or not is_denoiser or _NAMED_EXPERT.search(stem):
        return [target]
    first, second = ([_FIRST_EXPERT], [SECOND_EXPERT])
    chosen = {Expert.HIGH_NOISE: first, Expert.LOW_NOISE: second, None: first + second}[expert]
    return [
        Target(tuple(replace(piece, network=network) for piece in target.pieces))
        for network in chosen
    ]
