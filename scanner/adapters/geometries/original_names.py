"""Original module paths of models, and the modules of diffusers' classes that they mean."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from importlib import resources

Piece = tuple[str, int | None, int]
"""A module path, the index of a part of its rows (None for all), and the number of equal parts."""

Pieces = tuple[Piece, ...]


def original_modules(model_class: str, paths: Collection[str]) -> Iterator[tuple[str, Pieces]]:
    """Yield the original paths of a transformer's modules, and its fused modules.

    Args:
        model_class: name of the diffusers class.
        paths: of its modules. Original modules of which a part is missing are left out.
    """
    known = set(paths)
    yield from _fused(known)
    found: dict[str, Pieces] = {}  # what is said of the last block replaces what is said of all
    for original, templates in _templates().get(model_class, {}).items():
        for number in _numbers(templates[0], known):
            pieces = tuple(piece for template in templates for piece in _pieces(template, number))
            if all(path in known for path, _, _ in pieces):
                found[original.replace("#", number).replace(".last.", f".{number}.")] = pieces
    yield from found.items()


def _fused(known: Collection[str]) -> Iterator[tuple[str, Pieces]]:
    """Yield query, key and value as one module, as SimpleTuner and diffusers fuse them."""
    for path in sorted(known):
        for first, fused in (("to_q", "to_qkv"), ("add_q_proj", "to_added_qkv")):
            if not path.endswith(f".{first}"):
                continue
            start = path.removesuffix(first)
            parts = tuple(start + first.replace("q", letter) for letter in "qkv")
            if all(part in known for part in parts):
                yield start + fused, tuple((part, None, 1) for part in parts)


@cache
def _templates() -> dict[str, dict[str, list[str]]]:
    text = resources.files(__package__).joinpath("original_names.toml").read_text("utf-8")
    return {
        model_class: {
            original: [meant] if isinstance(meant, str) else meant
            for original, meant in named.items()
        }
        for model_class, named in tomllib.loads(text).items()
    }


def _numbers(template: str, known: Collection[str]) -> list[str]:
    """Return the numbers of the blocks that have a module of this template."""
    path = template.removeprefix("~")
    if "#" not in path and ".last." not in path:
        return [""]
    before, _, after = path.replace(".last.", ".#.").partition("#")
    pattern = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    found = sorted({int(match[1]) for one in known if (match := pattern.fullmatch(one))})
    return [str(number) for number in (found[-1:] if ".last." in path else found)]


def _pieces(template: str, number: str) -> Pieces:
    """Return the rows that a template means: a module, or its two halves in the other order."""
    path = template.removeprefix("~").replace("#", number).replace(".last.", f".{number}.")
    return ((path, 1, 2), (path, 0, 2)) if template.startswith("~") else ((path, None, 1),)
