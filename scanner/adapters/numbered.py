"""The modules that the numbers of cloneofsimo/lora stand for.

Pivotal tuning (2022-23) wrote no names: `unet:7:down` is the eighth linear layer in the order of
its script. The order is that of `_find_modules` in cloneofsimo/lora lora_diffusion/lora.py with
diffusers of that time, whose UNet had down, up, mid and whose blocks had attn1, ff, attn2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_UNET_BLOCKS = ("down_blocks", "up_blocks", "mid_block")
_UNET_LAYERS = (
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "ff.net.0.proj",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
)
_ENCODER_LAYERS = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj")
_NUMBERED = re.compile(r"^(unet|text_encoder):(\d+)$")


def are_numbered(stems: Iterable[str]) -> bool:
    """Whether any module name of a file is a number."""
    return any(_NUMBERED.match(stem) for stem in stems)


def named(
    stems: Mapping[str, object], unet_paths: list[str], encoder_paths: list[str]
) -> dict[str, str]:
    """The dotted diffusers name of each numbered stem.

    Args:
        stems: module names of a file.
        unet_paths, encoder_paths: module paths of the pipeline's networks.
    """
    numbered = {
        stem: (match[1], int(match[2])) for stem in stems if (match := _NUMBERED.match(stem))
    }
    order = {"unet": _unet_order(unet_paths), "text_encoder": _encoder_order(encoder_paths)}
    return {
        stem: f"{network}.{order[network][number]}"
        for stem, (network, number) in numbered.items()
        if number < len(order[network])
    }


def _unet_order(paths: list[str]) -> list[str]:
    known = set(paths)
    blocks = sorted(
        {
            match[0]
            for path in paths
            if (match := re.match(r"^.+\.transformer_blocks\.\d+(?=\.)", path))
        },
        key=_place,
    )
    return [
        f"{block}.{layer}"
        for block in blocks
        for layer in _UNET_LAYERS
        if f"{block}.{layer}" in known
    ]


def _place(block: str) -> tuple[int, tuple[int, ...]]:
    numbers = tuple(int(number) for number in re.findall(r"\.(\d+)", block))
    return _UNET_BLOCKS.index(block.split(".", maxsplit=1)[0]), numbers


def _encoder_order(paths: list[str]) -> list[str]:
    layers = sorted(
        {match[0] for path in paths if (match := re.match(r"^.*layers\.\d+(?=\.)", path))},
        key=lambda layer: int(layer.rsplit(".", 1)[1]),
    )
    return [f"{layer}.{name}" for layer in layers for name in _ENCODER_LAYERS]
