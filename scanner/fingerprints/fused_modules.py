"""Modules that a file fuses or names as the original code does, by family.

A sketch needs one name for the rows of each module, whatever the file calls it. Names are flat:
dots are underscores, as in kohya's names, so that both spellings are the same.
Sources: scanner/adapters/transformer_names.py; black-forest-labs/flux2 src/flux2/model.py;
Alpha-VLLM/Lumina-Image-2.0; diffusers scripts/convert_z_image_to_diffusers.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from scanner.adapters.block_names import OUTER, RESNET, block_starts
from scanner.adapters.transformer_names import Pieces, flux_names, sd3_names, wan_names

# Blocks for which names are made: more than the largest model has.
_MOST_BLOCKS = 80


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows of a module that a module of a file holds.

    Attributes:
        name: of the module, flat.
        share: how many rows these are, relative to the other ranges of the file's module.
        part, parts: which one of equal parts of the module's rows.
    """

    name: str
    share: int = 1
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """Names that a pattern describes; each range is a template of the name and a share."""

    pattern: re.Pattern[str]
    ranges: tuple[tuple[str, int], ...]


def _thirds(pattern: str, *shares: int) -> _Rule:
    names = (rf"\g<start>to_{letter}" for letter in "qkv")
    return _Rule(re.compile(pattern), tuple(zip(names, shares or (1, 1, 1), strict=True)))


def _renamed(pattern: str, name: str) -> _Rule:
    return _Rule(re.compile(pattern), ((name, 1),))


def _in_block(original: str, name: str) -> _Rule:
    return _renamed(rf"blocks_(?P<block>\d+)_{original}", rf"transformer_blocks_\g<block>_{name}")


# SimpleTuner fuses query, key and value of any family whose attention diffusers can fuse.
_SIMPLETUNER = _thirds(r"(?P<start>.+attn2?_)to_qkv")
_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "Z-Image": (
        _thirds(r"(?P<start>.+attention_)qkv"),
        _renamed(r"(?P<start>.+attention)_out", r"\g<start>_to_out_0"),
    ),
    "Ideogram 4": (
        _thirds(r"(?P<start>.+attention_)qkv"),
        _renamed(r"(?P<start>.+attention)_o", r"\g<start>_to_out_0"),
    ),
    "Lumina2": (
        _thirds(r"(?P<start>.+)attention_qkv", 3, 1, 1),
        _renamed(r"(?P<start>.+)attention_out", r"\g<start>attn_to_out_0"),
        _renamed(r"(?P<start>.+feed_forward_)w(?P<number>[123])", r"\g<start>linear_\g<number>"),
        _renamed(r"(?P<start>.+)adaLN_modulation_1", r"\g<start>norm1_linear"),
    ),
    "Krea2": (
        _thirds(r"(?P<start>.+attn_)to_qkv", 4, 1, 1),
        _in_block(r"attn_w(?P<letter>[qkv])", r"attn_to_\g<letter>"),
        _in_block(r"attn_wo", r"attn_to_out_0"),
        _in_block(r"attn_gate", r"attn_to_gate"),
        _in_block(r"mlp_(?P<rest>gate|up|down)", r"ff_\g<rest>"),
    ),
    "Anima": (
        _in_block(r"self_attn_(?P<letter>[qkv])_proj", r"attn1_to_\g<letter>"),
        _in_block(r"cross_attn_(?P<letter>[qkv])_proj", r"attn2_to_\g<letter>"),
        _in_block(r"self_attn_output_proj", r"attn1_to_out_0"),
        _in_block(r"cross_attn_output_proj", r"attn2_to_out_0"),
        _in_block(r"mlp_layer1", r"ff_net_0_proj"),
        _in_block(r"mlp_layer2", r"ff_net_2"),
    ),
}
# Blocks, layers, and the up blocks with attention.
UNETS: Mapping[str, tuple[int, int, frozenset[int]]] = {
    "Miniature": (3, 1, frozenset({0, 1})),
    "SD1": (4, 2, frozenset({1, 2, 3})),
    "SD2": (4, 2, frozenset({1, 2, 3})),
    "SDXL": (3, 2, frozenset({0, 1})),
    "SSD-1B": (3, 2, frozenset({0, 1})),
    "Kolors": (3, 2, frozenset({0, 1})),
    "SDXL refiner": (4, 2, frozenset({1, 2})),
}
_UNET_PLACE = re.compile(
    r"(?P<start>(?:input|output)_blocks_\d+_\d+|middle_block_\d+)_(?P<rest>.+)"
)


def ranges_of(name: str, family: str, blocks: int) -> tuple[RowRange, ...]:
    """The rows of modules that a module of a denoiser holds.

    Args:
        name: of the module in the file, flat, without a prefix.
        family: of the base model; of a family without a rule, a name means itself.
        blocks: number of blocks of the model, as far as the file shows.
    """
    if family in UNETS:
        return (RowRange(_unet_name(name, family)),)
    if (known := _fused(family, blocks).get(name)) is not None:
        return known
    for rule in (*_RULES.get(family, ()), _SIMPLETUNER):
        if (match := rule.pattern.fullmatch(name)) is not None:
            return tuple(RowRange(match.expand(template), share) for template, share in rule.ranges)
    return (RowRange(name),)


def _flux2_names(config: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
    """Every module of a Flux.2 transformer's blocks by its original path."""
    for number in range(config["num_layers"]):
        original, renamed = f"double_blocks.{number}", f"transformer_blocks.{number}"
        for stream, head, out, feed in (
            ("img", "attn.to_{}", "attn.to_out.0", "ff"),
            ("txt", "attn.add_{}_proj", "attn.to_add_out", "ff_context"),
        ):
            pieces = tuple((f"{renamed}.{head.format(letter)}", None, 1) for letter in "qkv")
            yield f"{original}.{stream}_attn.qkv", pieces
            yield f"{original}.{stream}_attn.proj", ((f"{renamed}.{out}", None, 1),)
            for layer, place in ((0, "in"), (2, "out")):
                path = f"{renamed}.{feed}.linear_{place}"
                yield f"{original}.{stream}_mlp.{layer}", ((path, None, 1),)
    for number in range(config["num_single_layers"]):
        renamed = f"single_transformer_blocks.{number}.attn"
        yield f"single_blocks.{number}.linear1", ((f"{renamed}.to_qkv_mlp_proj", None, 1),)
        yield f"single_blocks.{number}.linear2", ((f"{renamed}.to_out", None, 1),)


_NAMES: Mapping[str, Callable[[Mapping[str, int]], Iterator[tuple[str, Pieces]]]] = {
    "Flux.1": flux_names,
    "Flex.1": flux_names,
    "Chroma": flux_names,
    "Flux.2 dev": _flux2_names,
    "Flux.2": _flux2_names,
    "Flux.2 Klein 4B": _flux2_names,
    "Flux.2 Klein 9B": _flux2_names,
    "SD3": sd3_names,
    "Wan": wan_names,
}


@cache
def _fused(family: str, blocks: int) -> Mapping[str, tuple[RowRange, ...]]:
    names = _NAMES.get(family)
    if names is None:
        return {}
    # SD3's last block modulates otherwise; Medium has 24 blocks, Large 38.
    count = (24 if blocks <= 24 else 38) if names is sd3_names else _MOST_BLOCKS
    config = {"num_layers": count, "num_single_layers": count}
    return {
        original.replace(".", "_"): tuple(
            RowRange(
                path.replace(".", "_"), 4 if path.endswith("proj_mlp") else 1, part or 0, parts
            )
            for path, part, parts in pieces
        )
        for original, pieces in names(config)
    }


def _unet_name(name: str, family: str) -> str:
    if (outer := _outer_names().get(name)) is not None:
        return outer
    match = _UNET_PLACE.fullmatch(name)
    start = _unet_starts(family).get(match["start"]) if match else None
    if match is None or start is None:
        return name
    rest = match["rest"]
    if "_resnets_" in start:
        rest = _resnet_names().get(rest, rest)
    if "samplers_" in start:  # its original path ends in .conv or .op, which the start contains
        return start
    return f"{start}_{rest}"


@cache
def _unet_starts(family: str) -> Mapping[str, str]:
    starts = {
        original.replace(".", "_"): path.replace(".", "_")
        for path, original in block_starts(*UNETS[family]).items()
    }
    # A sampler's convolution is a whole module; its start is the block and the number before it.
    return {
        original.removesuffix("_conv").removesuffix("_op"): path
        for original, path in starts.items()
    }


@cache
def _outer_names() -> Mapping[str, str]:
    return {original.replace(".", "_"): path.replace(".", "_") for path, original in OUTER}


@cache
def _resnet_names() -> Mapping[str, str]:
    return {original.replace(".", "_"): path.replace(".", "_") for path, original in RESNET}
