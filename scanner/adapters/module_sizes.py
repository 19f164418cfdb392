"""Outputs and inputs of the modules that a file changes, from the shapes of its tensors."""

from __future__ import annotations

from scanner.adapters.formats.definition import Shapes, Size
from scanner.adapters.formats.registry import WEIGHTS_BESIDE, size_of
from scanner.adapters.tensor_names import part_of

# A weight of a whole model has the size of a difference.
_OF_WHOLE_MODEL = "diff"


def sizes_of_modules(shapes: Shapes) -> dict[str, Size]:
    """The size of each module by its name in the file, as far as the tensors determine it."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if (part := part_of(name)) is not None:
            parts.setdefault(part[0], {})[part[1]] = shape
        elif name.endswith(".weight"):
            stem = name.removesuffix(".weight")
            beside = (part for ending, part in WEIGHTS_BESIDE if f"{stem}{ending}" in shapes)
            parts.setdefault(stem, {})[next(beside, _OF_WHOLE_MODEL)] = shape
    return {stem: size_of(found) for stem, found in parts.items()}
