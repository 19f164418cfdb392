"""Modules that a file fuses or names as the original code does, by family.

A sketch needs one name for the rows of each module, whatever the file calls it. Names are flat:
dots are underscores, as in kohya's names, so that both spellings are the same.
The names are those of scanner/adapters/geometries/original_names.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import gcd

from scanner.adapters.formats.definition import Size
from scanner.adapters.geometries.geometry import geometries
from scanner.adapters.geometries.original_names import Pieces, original_modules
from scanner.adapters.geometries.unet_names import OUTER, RESNET, block_starts


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


def ranges_of(name: str, family: str, models: tuple[str, ...]) -> tuple[RowRange, ...]:
    """The rows of modules that a module of a denoiser holds.

    Args:
        name: of the module in the file, flat, without a prefix.
        family: of the base model; a name that is not known there means itself.
        models: the models of the family that the file fits; without any, all are meant.
    """
    if family in UNETS:
        return (RowRange(_unet_name(name, family)),)
    return _fused(family, models).get(name, (RowRange(name),))


@cache
def _fused(family: str, models: tuple[str, ...]) -> Mapping[str, tuple[RowRange, ...]]:
    """The modules of the original code by their flat names.

    What only other models of the family have is among them. Names that mean something else in
    another size, as in SD3's last block, mean what they do in the first of the given models.
    """
    own = [model for model in geometries() if family in (model.family, model.name)]
    own.sort(key=lambda model: models.index(model.name) if model.name in models else len(models))
    found: dict[str, tuple[RowRange, ...]] = {}
    for model in own:
        sizes = model.paths()
        for original, pieces in original_modules(model.model_class, sizes):
            found.setdefault(original.replace(".", "_"), _ranges(pieces, sizes))
    return found


def _ranges(pieces: Pieces, sizes: Mapping[str, Size]) -> tuple[RowRange, ...]:
    rows = [(sizes[path][0] or 0) // parts for path, _, parts in pieces]
    unit = gcd(*rows)
    return tuple(
        RowRange(path.replace(".", "_"), count // unit, part or 0, parts)
        for (path, part, parts), count in zip(pieces, rows, strict=True)
    )


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
