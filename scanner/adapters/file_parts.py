"""The modules and learned words of an adapter file, and the tensors that belong to neither.

Another program may draw with a tensor that this one ignores, so every tensor must be part of a
module's change or of a learned word. The module does not import torch, because headers are sorted
by the same rule as files that are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from scanner.adapters.embedding_names import ONLY, table_of
from scanner.adapters.formats.registry import BIAS_CHANGES, WEIGHT_CHANGES, WEIGHTS_BESIDE
from scanner.adapters.tensor_names import part_of

_BUNDLED = re.compile(r"^bundle_emb\.(?P<token>.+?)\.(?P<table>string_to_param\.\*|[^.]+)$")
_LEARNED = re.compile(r"^<.{1,60}>$")
# ai-toolkit stores the word that it trains with an adapter without naming it.
_BESIDE = "the word beside the adapter"


@dataclass(frozen=True, slots=True)
class FileParts:
    """The names of a file's tensors, sorted.

    Attributes:
        modules: tensor names by the module's name in the file and the part.
        words: tensor names by learned word and text encoder.
        leftover: names of tensors that are not known.
    """

    modules: dict[str, dict[str, str]]
    words: dict[str, dict[str, str]]
    leftover: tuple[str, ...]


def parts_of_file(names: Iterable[str]) -> FileParts:
    """Sort the names of an adapter's tensors."""
    known = dict.fromkeys(names)
    modules: dict[str, dict[str, str]] = {}
    words: dict[str, dict[str, str]] = {}
    leftover: list[str] = []
    for name in known:
        part = part_of(name) or _weight_beside(name, known)
        if (word := _learned(name)) is not None and word[1] not in words.get(word[0], {}):
            words.setdefault(word[0], {})[word[1]] = name
        elif part is not None and part[1] not in modules.get(part[0], {}):
            # Two spellings of one part would hide each other: the second is left over, so that the
            # file is refused.
            modules.setdefault(part[0], {})[part[1]] = name
        else:
            leftover.append(name)
    for parts in modules.values():
        leftover += [parts.pop(part) for part in sorted(_unused(parts.keys()))]
    return FileParts(
        {stem: parts for stem, parts in modules.items() if parts}, words, tuple(leftover)
    )


def _weight_beside(name: str, names: Container[str]) -> tuple[str, str] | None:
    """The module and the part of a plain weight that another tensor marks, as in IA3."""
    stem = name.removesuffix(".weight")
    if stem == name:
        return None
    return next(
        ((stem, part) for ending, part in WEIGHTS_BESIDE if f"{stem}{ending}" in names), None
    )


def _unused(parts: AbstractSet[str]) -> set[str]:
    """The parts of a module that the algorithm of the others does not use.

    A module may hold one change of its weight and one of its bias: of two, programs differ in
    which one they read.
    """
    biases = [bias.part for bias in BIAS_CHANGES if bias.part in parts]
    rest = parts - set(biases)
    all_used = (change.used(rest) for change in WEIGHT_CHANGES)
    used = next((used for used in all_used if used is not None), rest)
    return {*(rest - used), *biases[1:]}


def _learned(name: str) -> tuple[str, str] | None:
    """The learned word and text encoder that a tensor is a table for; None for others."""
    if _LEARNED.match(name):
        return name, ONLY
    if (table := table_of(name)) is not None:
        return None if table[1] else (_BESIDE, table[0])
    match = _BUNDLED.match(name)
    table = table_of(match["table"]) if match else None
    return None if match is None or table is None or table[1] else (match["token"], table[0])
