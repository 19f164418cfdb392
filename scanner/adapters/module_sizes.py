"""Outputs and inputs of the modules that a file changes, from the shapes of its tensors."""

from __future__ import annotations

from scanner.adapters.formats.definition import Shapes, Size
from scanner.adapters.formats.registry import size_of
from scanner.adapters.tensor_names import part_of


def sizes_of_modules(shapes: Shapes) -> dict[str, Size]:
    """The size of each module by its name in the file, as far as the tensors determine it."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if (part := part_of(name)) is not None:
            parts.setdefault(part[0], {})[part[1]] = shape
        elif name.endswith(".weight"):  # of a whole model
            parts.setdefault(name.removesuffix(".weight"), {})["diff"] = shape
    return {stem: size_of(found) for stem, found in parts.items()}
