"""One name for each module, whatever trainer named the file's tensors.

diffusers' module paths are the names, flat: with underscores for dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from scanner.adapters.acceptance import path_in_denoiser
from scanner.adapters.numbered import are_numbered, named
from scanner.fingerprints.fused_modules import UNETS, RowRange, ranges_of


class Network(StrEnum):
    """The networks of a model whose changes are sketched apart."""

    DENOISER = "denoiser"
    ENCODERS = "encoders"


@dataclass(frozen=True, slots=True)
class NamedModule:
    """What a module of a file holds: rows of one module, or of several that the file stacks."""

    network: Network
    ranges: tuple[RowRange, ...]


_ENCODER = re.compile(
    r"^(?:base_model\.(?:model\.)?)?(?:"
    r"(?:lora_|lycoris_)te(?P<kohya>\d?)_"
    r"|text_encoder(?:_(?P<number>\d))?[.:]"
    r"|text_encoders\.(?P<comfy>\w+)\.(?:transformer\.)?"
    r"|(?=text_model\.|encoder\.(?:layers|block)\.|embeddings\.|final_layer_norm|text_projection)"
    r")(?P<rest>.+)$"
)
_COMFY = {"clip_l": "1", "clip_g": "2"}
_OF_UNET = re.compile(
    r"(?:down|up)_blocks_[0-3]_(?:attentions|resnets|downsamplers|upsamplers)_\d_|mid_block_"
    r"|(?:down|up)_blocks_[0-3]_(?:down|up)samplers_0_conv$"
    r"|(?:conv_in|conv_out|conv_norm_out)$|(?:time|add)_embedding_linear_[12]$"
)
_CROSS_BLOCKS = (
    *(f"down_blocks.{block}.attentions.{layer}" for block in range(3) for layer in range(2)),
    *(f"up_blocks.{block}.attentions.{layer}" for block in range(1, 4) for layer in range(3)),
    "mid_block.attentions.0",
)
_UNET_LAYERS = (
    *(f"attn{number}.to_{part}" for number in "12" for part in ("q", "k", "v", "out.0")),
    "ff.net.0.proj",
)


def modules_of(
    stems: Iterable[str], family: str, models: tuple[str, ...] = ()
) -> dict[str, NamedModule]:
    """What each module of a file is, by its name in the file.

    Args:
        stems: names of modules as scanner.adapters.file_parts gives them.
        family: of the base model, by the tensors.
        models: the models that the tensors fit.
    """
    names = dict.fromkeys(stems)
    numbered = _numbered(names) if are_numbered(names) else {}
    return {stem: _module(numbered.get(stem, stem), family, models) for stem in names}


def is_of_model(module: NamedModule, family: str) -> bool:
    """Whether a UNet may have a module of that name; True for families without a UNet.

    A module that the model does not have changes no picture, but could hide the others.
    """
    if module.network == Network.ENCODERS or family not in UNETS:
        return True
    return all(_OF_UNET.match(one.name) is not None for one in module.ranges)


def _module(stem: str, family: str, models: tuple[str, ...]) -> NamedModule:
    if (match := _ENCODER.match(stem)) is not None:
        return NamedModule(Network.ENCODERS, (RowRange(_encoder_name(match)),))
    path = path_in_denoiser(stem).replace(".", "_")
    return NamedModule(Network.DENOISER, ranges_of(path, family, models))


def _encoder_name(match: re.Match[str]) -> str:
    rest = match["rest"].replace(".", "_").removeprefix("text_model_")
    number = match["kohya"] or match["number"] or _COMFY.get(match["comfy"] or "", "1")
    # T5 is the second encoder to OneTrainer and the third to kohya.
    encoder = "t5" if re.search(r"encoder_block_\d", rest) else number
    return f"{encoder}_{rest}"


@cache
def _sd1_paths() -> tuple[list[str], list[str]]:
    """Paths of the layers that cloneofsimo's numbers stand for; all such files are of SD1."""
    unet = [
        f"{block}.transformer_blocks.0.{layer}" for block in _CROSS_BLOCKS for layer in _UNET_LAYERS
    ]
    encoder = [
        f"text_model.encoder.layers.{layer}.self_attn.{part}_proj"
        for layer in range(12)
        for part in ("q", "k", "v", "out")
    ]
    return unet, encoder


def _numbered(stems: Mapping[str, object]) -> dict[str, str]:
    return named(stems, *_sd1_paths())
