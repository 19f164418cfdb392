"""Which models take an adapter whole, by the names and shapes of its modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from scanner.adapters.geometries import GEOMETRIES
from scanner.adapters.geometry import COMMON, Geometry, Modules, Size
from scanner.adapters.tensor_names import part_of

Shapes = Mapping[str, tuple[int, ...]]

_PREFIX = re.compile(
    r"^(?:lycoris_unet_|lora_unet_|lora_transformer_|lycoris_|oft_unet_|base_model\.model\.|base_model\.|"
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
        flat: the file has underscores for dots.
    """

    stack: str
    number: int
    path: str
    flat: bool
    size: Size


def fitting_models(shapes: Shapes) -> tuple[Geometry, ...]:
    """The models that have every module of a file, of that shape; none if no module is known."""
    # Of modules that differ in nothing but their block, the last block's speaks for all.
    alike: dict[tuple[str, str, bool, Size], Module] = {}
    for module in sorted(_modules(shapes), key=lambda one: one.number):
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
    """The models all of whose blocks a file changes in every stack that it changes, and if that settles it.

    A training limited to the first blocks looks like one of a smaller model; it does not where two
    kinds of blocks end at once.
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
    for stem, size in _sizes(shapes).items():
        if _ENCODER.match(stem):
            continue
        path = _PREFIX.sub("", stem)
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


def _sizes(shapes: Shapes) -> dict[str, Size]:
    """Outputs and inputs of each module that a file changes, as far as its tensors tell them."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if (part := part_of(name)) is not None:
            parts.setdefault(part[0], {})[part[1]] = shape
        elif name.endswith(".weight"):  # of a whole model
            parts.setdefault(name.removesuffix(".weight"), {})["diff"] = shape
    return {stem: _size_of(found) for stem, found in parts.items()}


def _size_of(parts: Mapping[str, tuple[int, ...]]) -> Size:
    def number(what: str, axis: int) -> int | None:
        shape = parts.get(what, ())
        return shape[axis] if len(shape) > max(axis, 1) - (axis == 0) else None

    def product(first: int | None, second: int | None) -> int | None:
        return None if first is None or second is None else first * second

    def factor(what: str, axis: int) -> int | None:
        whole = number(what, axis)
        return whole if whole is not None else number(f"{what}_{'ab'[axis]}", axis)

    if parts.keys() & {"lora_down", "lora_up"}:
        return number("lora_up", 0), number("lora_down", 1)
    if "hada_w1_a" in parts and "hada_t1" not in parts:
        return number("hada_w1_a", 0), number("hada_w1_b", 1)
    if parts.keys() & {"lokr_w1", "lokr_w1_a"} and "lokr_t2" not in parts:
        return product(factor("lokr_w1", 0), factor("lokr_w2", 0)), product(
            factor("lokr_w1", 1), factor("lokr_w2", 1)
        )
    if "diff" in parts and len(parts["diff"]) > 1:
        return number("diff", 0), number("diff", 1)
    rotations = [shape for what, shape in parts.items() if what.startswith("oft_blocks")]
    if rotations and all(len(shape) in (3, 4) for shape in rotations):
        return sum(shape[-3] * shape[-2] for shape in rotations), None
    return None, None
