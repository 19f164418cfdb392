"""What each tensor of an adapter file is, by its name and those beside it; and what nothing here explains.

Whoever else loads a file may draw with a tensor that was passed over here, so every one must be part of a module's
change or of a learned word. Without torch: headers are sorted by the same rule as files that are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from scanner.adapters.embedding_names import ONLY, table_of
from scanner.adapters.tensor_names import ENDINGS, is_numbered_rotation, part_of

_BUNDLED = re.compile(r"^bundle_emb\.(?P<token>.+?)\.(?P<table>string_to_param\.\*|[^.]+)$")
_LEARNED = re.compile(r"^<.{1,60}>$")
# ai-toolkit keeps the word that it trains beside an adapter under the names of its tables alone.
_BESIDE = "the word beside the adapter"

_BIASES = ("diff_b", "b_norm", "lora_bias")
_ANY = frozenset({"alpha", "dora_scale"})
# The tensors that one algorithm uses together, by the one that marks it; the first that is there counts.
_TOGETHER: tuple[tuple[str, frozenset[str]], ...] = (
    ("lora_down", frozenset({"lora_down", "lora_up", "lora_mid"}) | _ANY),
    ("lora_up", frozenset({"lora_down", "lora_up", "lora_mid"}) | _ANY),
    (
        "hada_w1_b",
        frozenset(f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")) | _ANY,
    ),
    ("lokr_w1", frozenset(f"lokr_{name}" for name in ("w1", "w2", "w2_a", "w2_b", "t2")) | _ANY),
    (
        "lokr_w1_a",
        frozenset(f"lokr_{name}" for name in ("w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")) | _ANY,
    ),
    ("a1", frozenset({"a1", "a2", "b1", "b2", "bm"}) | _ANY),
    ("ia3", frozenset({"ia3", "on_input", "alpha"})),
    ("oft_blocks", frozenset({"oft_blocks", "rescale", "alpha"})),
    ("diff", frozenset({"diff", "alpha"})),
    ("w_norm", frozenset({"w_norm", "alpha"})),
)


@dataclass(frozen=True, slots=True)
class FileParts:
    """The names of a file's tensors, sorted.

    Attributes:
        modules: by the module's name in the file, the name of the tensor that is each part of its change.
        words: by learned word, the name of the table for each text encoder.
        leftover: names of tensors that nothing here explains.
    """

    modules: dict[str, dict[str, str]]
    words: dict[str, dict[str, str]]
    leftover: tuple[str, ...]


def parts_of_file(
    names: Iterable[str], endings: tuple[tuple[str, str], ...] = ENDINGS
) -> FileParts:
    """Sort the names of an adapter's tensors."""
    known = dict.fromkeys(names)
    modules: dict[str, dict[str, str]] = {}
    words: dict[str, dict[str, str]] = {}
    leftover: list[str] = []
    for name in known:
        stem = name.removesuffix(".weight")
        if (word := _learned(name)) is not None and word[1] not in words.get(word[0], {}):
            words.setdefault(word[0], {})[word[1]] = name
        elif (part := part_of(name, endings)) is not None and part[1] not in modules.get(
            part[0], {}
        ):
            # Two spellings of one thing would hide each other: the second is left over, and refuses the file.
            modules.setdefault(part[0], {})[part[1]] = name
        elif stem != name and f"{stem}.on_input" in known and "ia3" not in modules.get(stem, {}):
            modules.setdefault(stem, {})["ia3"] = name
        else:
            leftover.append(name)
    for parts in modules.values():
        leftover += [parts.pop(what) for what in sorted(_unused(parts.keys()))]
    return FileParts(
        {stem: parts for stem, parts in modules.items() if parts}, words, tuple(leftover)
    )


def _unused(parts: AbstractSet[str]) -> set[str]:
    """Those of a module's parts that the algorithm of the others leaves out.

    A module may hold one change of its weight and one of its bias: of two, readers take the one or the other.
    """
    biases = [what for what in _BIASES if what in parts]
    rotations = {what for what in parts if is_numbered_rotation(what)}
    rest = parts - set(_BIASES) - rotations
    if rotations:
        used = frozenset({"alpha"}) | (rotations if _counted(rotations) else frozenset())
    else:
        used = next((together for mark, together in _TOGETHER if mark in rest), frozenset(rest))
    unused = {*((rest | rotations) - used), *biases[1:]}
    if "lokr_w2" in parts:  # a whole factor beside the product of two
        unused |= parts & {"lokr_w2_a", "lokr_w2_b", "lokr_t2"}
    return unused


def _counted(rotations: AbstractSet[str]) -> bool:
    return rotations == {f"oft_blocks.{number}" for number in range(len(rotations))}


def _learned(name: str) -> tuple[str, str] | None:
    """The learned word that a tensor is a table of, and for which text encoder; None for all other tensors."""
    if _LEARNED.match(name):
        return name, ONLY
    if (table := table_of(name)) is not None:
        return None if table[1] else (_BESIDE, table[0])
    match = _BUNDLED.match(name)
    table = table_of(match["table"]) if match else None
    return None if match is None or table is None or table[1] else (match["token"], table[0])
