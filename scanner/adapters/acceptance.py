"""The models that an adapter fits, by the names and shapes of its modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.adapters.formats.definition import Shapes, Size
from scanner.adapters.geometries.geometry import Geometry, geometries, place_of
from scanner.adapters.module_sizes import sizes_of_modules

DENOISER_PREFIX = re.compile(
    r"^(?:lycoris_unet_|lora_unet__?|lora_prior_unet_|lora_transformer_|lycoris_|oft_unet_|"
    r"base_model\.model\.|base_model\.|"
    r"model\.diffusion_model\.|diffusion_model\.|model\.|unet\.|transformer(?:_[12])?\.|pipe\.|dit\.|net\.)+"
)
# diffusers 1 puts the layer after the processor; XLabs' processors have no attention before them.
_PROCESSOR = re.compile(r"(?<=\.)(?P<attention>attn\d?)\.processor\.(?P<layer>\w+?)_lora$")
_ONE_STACK = re.compile(r"(?!(?:down|up|input|output)_blocks)[^\d]+")
_ENCODER = re.compile(r"^(?:base_model\.(?:model\.)?)?(?:lora_|lycoris_)?(?:te\d?_|text_encoder)")


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a denoiser that a file changes.

    Attributes:
        stack: of the innermost blocks that it is in, "" for a module outside the blocks.
        number: of its block.
        path: inside its block.
        flat: the file writes underscores for the dots of the path.
    """

    stack: str
    number: int
    path: str
    flat: bool
    size: Size

    @property
    def name(self) -> str:
        """Its whole path."""
        if not self.stack:
            return self.path
        return ("_" if self.flat else ".").join((self.stack, str(self.number), self.path))


def path_in_denoiser(stem: str) -> str:
    """Return the path of a module from its name in a file, as diffusers spells it today."""
    path, replaced = _PROCESSOR.subn(r"\g<attention>.\g<layer>", DENOISER_PREFIX.sub("", stem))
    # diffusers 1 leaves the number out.
    return f"{path}.0" if replaced and path.endswith(".to_out") else path


def fitting_models(shapes: Shapes) -> tuple[Geometry, ...]:
    """Return the models that have every module of a file with its size, the likeliest first.

    Modules that no model has are passed over. If no module is known, no model fits.
    """
    known = _known_modules(shapes)
    fitting = [
        model for model in geometries() if known and all(_takes(model, module) for module in known)
    ]
    return tuple(model for model in fitting if not _is_unlikely(model, fitting, known))


def models_with_names(shapes: Shapes) -> tuple[Geometry, ...]:
    """Return the models that have modules of all names of a file, whatever their sizes."""
    known = _known_modules(shapes)
    return tuple(
        model
        for model in geometries()
        if known and all(model.has(one.stack, one.path, flat=one.flat) for one in known)
    )


def misfit(shapes: Shapes) -> str | None:
    """Return why no model fits a file with modules of known names, in a sentence.

    None if its modules have names that no model has.
    """
    known = _known_modules(shapes)
    for module in known:
        if not any(_takes(model, module) for model in geometries()):
            outputs, inputs = (size or "?" for size in module.size)
            return f"no model that is known here has {module.name} with {outputs} x {inputs}"
    if not known:
        return None
    first = [model.name for model in geometries() if _takes(model, known[0])]
    return f"{known[0].name} fits {', '.join(first[:4])}, and not all other tensors of the file do"


def _known_modules(shapes: Shapes) -> list[Module]:
    """Return the modules whose names a model has.

    Modules that differ only in their block are represented by the first and the last of them.
    """
    groups: dict[tuple[str, str, bool, Size], list[Module]] = {}
    for module in sorted(_modules(shapes), key=lambda module: module.number):
        groups.setdefault((module.stack, module.path, module.flat, module.size), []).append(module)
    return [
        module
        for some in groups.values()
        if any(one.has(some[0].stack, some[0].path, flat=some[0].flat) for one in geometries())
        for module in dict.fromkeys((some[0], some[-1]))
    ]


def reaching_models(
    shapes: Shapes, models: tuple[Geometry, ...]
) -> tuple[tuple[Geometry, ...], bool]:
    """Return the models whose blocks a file changes completely, and whether that decides.

    Every stack that the file changes is compared. A training limited to the first blocks looks like
    one of a smaller model, so a match decides only where two kinds of blocks end at once. Blocks of
    a UNet are too few to tell anything.
    """
    numbers: dict[tuple[str, bool], set[int]] = {}
    for module in _modules(shapes):
        if _ONE_STACK.fullmatch(module.stack) and any(
            model.has(module.stack, module.path, flat=module.flat) for model in models
        ):
            numbers.setdefault((module.stack, module.flat), set()).add(module.number)
    reaching = tuple(
        model
        for model in models
        if numbers
        and all(
            found == set(range(model.count(stack, flat=flat)))
            for (stack, flat), found in numbers.items()
        )
    )
    # One kind of blocks in two spellings is not two kinds.
    spelled = {
        (flat, any(stack in model.stacks_of_class(flat=flat) for model in models))
        for stack, flat in numbers
    }
    return reaching, len(numbers) > 1 and len(spelled) == 1


def _modules(shapes: Shapes) -> Iterator[Module]:
    for stem, size in sizes_of_modules(shapes).items():
        if _ENCODER.match(stem):
            continue
        path = path_in_denoiser(stem)
        flat = "." not in path
        yield Module(*place_of(path, flat=flat), flat, size)


def _is_unlikely(model: Geometry, fitting: list[Geometry], known: list[Module]) -> bool:
    """Whether a file fits the preferred twin too, and does not change all blocks of this model.

    If both have equally many blocks, the twin is always likelier.
    """
    twin = next((other for other in fitting if other.name == model.twin_of), None)
    if twin is None:
        return False
    last: dict[tuple[str, bool], int] = {}
    for module in known:
        place = (module.stack, module.flat)
        last[place] = max(last.get(place, 0), module.number)
    return not all(
        number == model.count(stack, flat=flat) - 1
        for (stack, flat), number in last.items()
        if stack
    ) or all(model.count(stack, flat=flat) == twin.count(stack, flat=flat) for stack, flat in last)


def _takes(model: Geometry, module: Module) -> bool:
    wanted = model.sizes(module.stack, module.number, module.path, flat=module.flat)
    return any(
        all(
            want is None or has is None or want == has
            for want, has in zip(size, module.size, strict=True)
        )
        for size in wanted
    )
