"""The models that an adapter fits, by the names and shapes of its modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from scanner.adapters.formats.definition import Shapes, Size
from scanner.adapters.geometries import GEOMETRIES
from scanner.adapters.geometry import COMMON, Geometry, Modules
from scanner.adapters.module_sizes import sizes_of_modules

DENOISER_PREFIX = re.compile(
    r"^(?:lycoris_unet_|lora_unet_|lora_prior_unet_|lora_transformer_|lycoris_|oft_unet_|base_model\.model\.|base_model\.|"
    r"model\.diffusion_model\.|diffusion_model\.|model\.|unet\.|transformer(?:_[12])?\.|pipe\.|dit\.|net\.)+"
)
_ENCODER = re.compile(r"^(?:base_model\.(?:model\.)?)?(?:lora_|lycoris_)?(?:te\d?_|text_encoder)")
_DOTTED = re.compile(r"^(?P<stack>.*?(?:blocks|layers|refiner))\.(?P<number>\d+)\.(?P<rest>.+)$")
_FLAT = re.compile(r"^(?P<stack>.*?(?:blocks|layers|refiner))_(?P<number>\d+)_(?P<rest>.+)$")


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a denoiser that a file changes.

    Attributes:
        stack: of blocks, "" for a module outside the blocks.
        number: of its block.
        path: inside its block.
        flat: the file writes underscores for the dots of the path.
    """

    stack: str
    number: int
    path: str
    flat: bool
    size: Size


def fitting_models(shapes: Shapes) -> tuple[Geometry, ...]:
    """The models that have every module of a file with its shape; none if no module is known."""
    # Modules that differ only in their block are compared once, with the last block.
    alike: dict[tuple[str, str, bool, Size], Module] = {}
    for module in sorted(_modules(shapes), key=lambda module: module.number):
        alike[module.stack, module.path, module.flat, module.size] = module
    known = [
        module for module in alike.values() if any(_size(model, module) for model in GEOMETRIES)
    ]
    return tuple(
        model for model in GEOMETRIES if known and all(_takes(model, module) for module in known)
    )


def reaching_models(
    shapes: Shapes, models: tuple[Geometry, ...]
) -> tuple[tuple[Geometry, ...], bool]:
    """The models whose blocks a file changes completely, and whether that decides between them.

    Every stack that the file changes is compared. A training limited to the first blocks looks like
    one of a smaller model, so a match decides only where two kinds of blocks end at once.
    """
    numbers: dict[tuple[str, bool], set[int]] = {}
    for module in _modules(shapes):
        if module.stack and any(_size(model, module) for model in models):
            numbers.setdefault((module.stack, module.flat), set()).add(module.number)
    reaching = tuple(
        model
        for model in models
        if numbers
        and all(found == set(range(_count(model, *stack))) for stack, found in numbers.items())
    )
    return reaching, len(numbers) > 1


def _modules(shapes: Shapes) -> Iterator[Module]:
    for stem, size in sizes_of_modules(shapes).items():
        if _ENCODER.match(stem):
            continue
        path = DENOISER_PREFIX.sub("", stem)
        flat = "." not in path
        match = (_FLAT if flat else _DOTTED).match(path)
        yield (
            Module(match["stack"], int(match["number"][:9]), match["rest"], flat, size)
            if match
            else Module("", 0, path, flat, size)
        )


@cache
def _flattened(model: Geometry) -> tuple[dict[str, tuple[int, Modules]], Modules]:
    def flat(modules: Modules) -> Modules:
        return {path.replace(".", "_"): size for path, size in modules.items()}

    return {
        name.replace(".", "_"): (count, flat(modules))
        for name, (count, modules) in model.stacks.items()
    }, flat(model.outer)


def _stacks(model: Geometry, flat: bool) -> tuple[Mapping[str, tuple[int, Modules]], Modules]:
    return _flattened(model) if flat else (model.stacks, model.outer)


def _count(model: Geometry, stack: str, flat: bool) -> int:
    return _stacks(model, flat)[0].get(stack, (0, {}))[0]


def _size(model: Geometry, module: Module) -> Size | None:
    stacks, outer = _stacks(model, module.flat)
    modules = stacks.get(module.stack, (0, {}))[1] if module.stack else outer
    return modules.get(module.path)


def _takes(model: Geometry, module: Module) -> bool:
    wanted = _size(model, module)
    if wanted is None and not module.stack and module.path in COMMON:
        return True
    if wanted is None or (
        module.stack and module.number >= _count(model, module.stack, module.flat)
    ):
        return False
    return all(
        want is None or has is None or want == has
        for want, has in zip(wanted, module.size, strict=True)
    )
