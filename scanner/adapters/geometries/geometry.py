"""The modules of one model, found by the path that a file writes.

A file fits a model that has every module of the file with the same size. One width never decides:
3072 is the width of a dozen models. The paths are those of diffusers' classes and of the original
code; build.py writes them.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any

from scanner.adapters.formats.definition import Size

_STACK = r"(?:blocks|layers|refiner|attentions|resnets|samplers|experts)"
_DOTTED = re.compile(rf"(?P<place>.*{_STACK})\.(?P<number>\d{{1,9}})\.(?P<rest>.+)", re.DOTALL)
_FLAT = re.compile(rf"(?P<place>.*{_STACK})_(?P<number>\d{{1,9}})_(?P<rest>.+)", re.DOTALL)
Modules = dict[str, tuple[Size, ...]]
"""The sizes that a module can have in a file, by its path. The inputs of a convolution can be
counted with its kernel, as LoHa and LoKr do."""


def place_of(path: str, *, flat: bool = False) -> tuple[str, int, str]:
    """Return the stack of blocks that a module is in, the number of its block and its path there.

    The innermost blocks count. Modules outside the blocks are in stack "" with number 0.

    Args:
        flat: the path has underscores instead of dots.
    """
    found = (_FLAT if flat else _DOTTED).fullmatch(path)
    return (found["place"], int(found["number"]), found["rest"]) if found else ("", 0, path)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Consecutive blocks that have the same modules.

    Attributes:
        first, last: their numbers.
    """

    first: int
    last: int
    modules: Modules


Stacks = dict[str, list[Blocks]]
"""Blocks by the stack that they are in; "" for modules outside the blocks."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The modules of one model.

    Attributes:
        name: of the family, or of one of its sizes.
        family: as base_models.toml names it, if it is listed there.
        model_class: name of the diffusers class.
        twin_of: the model that is preferred to this one if a file fits both.
        modules: with their paths in the class.
        originals: modules of the original code that have other paths, and fused modules.
    """

    name: str
    family: str
    model_class: str
    twin_of: str | None
    modules: Stacks = field(repr=False)
    originals: Stacks = field(repr=False)

    @cached_property
    def _dotted(self) -> Stacks:
        found: Stacks = {}
        for stacks in (self.modules, self.originals):
            for place, some in stacks.items():
                found.setdefault(place, []).extend(some)
        return found

    @cached_property
    def _flat(self) -> Stacks:
        """The same with underscores for the dots of all paths."""
        flattened: dict[int, Modules] = {}
        found: Stacks = {}
        for place, some in self._dotted.items():
            for blocks in some:
                modules = flattened.setdefault(
                    id(blocks.modules),
                    {path.replace(".", "_"): sizes for path, sizes in blocks.modules.items()},
                )
                found.setdefault(place.replace(".", "_"), []).append(
                    Blocks(blocks.first, blocks.last, modules)
                )
        return found

    def stacks(self, *, flat: bool) -> Stacks:
        """Return all modules by their dotted or by their flat paths."""
        return self._flat if flat else self._dotted

    def stacks_of_class(self, *, flat: bool) -> set[str]:
        """Return the stacks of the class, without those of the original code."""
        return {place.replace(".", "_") if flat else place for place in self.modules}

    def sizes(self, place: str, number: int, rest: str, *, flat: bool) -> list[Size]:
        """Return the sizes that a module may have; none if this model lacks the module."""
        return [
            size
            for blocks in self.stacks(flat=flat).get(place, ())
            if blocks.first <= number <= blocks.last
            for size in blocks.modules.get(rest, ())
        ]

    def has(self, place: str, rest: str, *, flat: bool) -> bool:
        """Whether any block of a stack has this module."""
        return any(rest in blocks.modules for blocks in self.stacks(flat=flat).get(place, ()))

    def count(self, place: str, *, flat: bool) -> int:
        """Return the number of blocks of a stack."""
        return max((blocks.last + 1 for blocks in self.stacks(flat=flat).get(place, ())), default=0)

    def paths(self) -> dict[str, Size]:
        """Return the size of every module by its path in the class."""
        return {
            f"{place}.{number}.{rest}" if place else rest: sizes[0]
            for place, some in self.modules.items()
            for blocks in some
            for number in range(blocks.first, blocks.last + 1)
            for rest, sizes in blocks.modules.items()
        }


def models() -> dict[str, dict[str, Any]]:
    """Return the entries of models.toml by model, the likeliest first."""
    text = resources.files(__package__).joinpath("models.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def geometries() -> tuple[Geometry, ...]:
    """Return all models, the likeliest first, read once."""
    folder = resources.files(__package__)
    found = []
    for name, entry in models().items():
        stored = json.loads(folder.joinpath("data", file_name(name)).read_text("utf-8"))
        modules, originals = _stacks(stored["modules"]), _stacks(stored["original_modules"])
        family, twin = entry.get("family", name), entry.get("twin_of")
        found.append(Geometry(name, family, stored["class"], twin, modules, originals))
    return tuple(found)


@cache
def _families() -> dict[str, str]:
    return {model.name: model.family for model in geometries()}


def family_of_model(name: str) -> str:
    """Return the family of a model; other names are returned as they are."""
    return _families().get(name, name)


def file_name(model: str) -> str:
    """Return the name of a model's file in data/."""
    return re.sub(r"[^a-z0-9]+", "_", model.lower()) + ".json"


def _stacks(stored: dict[str, dict[str, str]]) -> Stacks:
    found: Stacks = {}
    for places, sizes in stored.items():
        modules: Modules = {path: _sizes(text) for path, text in sizes.items()}
        for place in places.split(" "):
            stack, _, numbers = place.rpartition(".")
            first, _, last = numbers.partition("-")
            found.setdefault(stack, []).append(Blocks(int(first or 0), int(last or 0), modules))
    return found


def _sizes(text: str) -> tuple[Size, ...]:
    outputs, inputs, kernel = (*map(int, text.split("x")), 0, 0)[:3]
    with_kernel: tuple[Size, ...] = ((outputs, inputs * kernel),) if kernel else ()
    return ((outputs, inputs), *with_kernel)
