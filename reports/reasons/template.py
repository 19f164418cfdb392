"""A sentence with named slots, which writes values into the sentence and reads them out of it.

A slot is written as in `str.format`. Its type, behind the colon, says how the value is written:

    ==========  ===============================  ======================
    type        value                            written
    ==========  ===============================  ======================
    (none)      text                             as it is
    piece       text without "; "                as it is
    quoted      text                             as `repr` writes it
    why         another reason                   its sentence
    cause       another reason, or any text      its sentence
    commas      names                            a, b, c
    listed      names                            a, b and c
    either      names                            a or b or c
    、          names                            a、b、c
    d  ,d       an integer                       1234  1,234
    .2f  g      a number                         0.72  1.2
    .0%         a share, 0 to 1                  25%
    ==========  ===============================  ======================
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

Value = int | float | str | tuple[str, ...]

_TEXT = r".+?"
_ESCAPE = r"\\(?:[\\'nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})"
_PATTERNS = {
    "": _TEXT,
    "piece": r"(?:(?!; ).)+?",
    "why": _TEXT,
    "cause": _TEXT,
    "commas": _TEXT,
    "listed": _TEXT,
    "either": _TEXT,
    "quoted": rf"'(?:[^'\\\n]|{_ESCAPE})*'|\"(?:[^\"\\\n]|{_ESCAPE})*\"",
    "d": r"-?\d+",
    ",d": r"-?\d{1,3}(?:,\d{3})*",
    ".2f": r"-?\d+\.\d\d|-?inf|nan",
    ".0f": r"-?\d+",
    "g": r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|-?inf|nan",
    ".0%": r"-?\d+%",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """Fixed text, and the slot that follows it; None behind the last slot."""

    fixed: str
    slot: str | None
    kind: str


class Template:
    """A sentence that is compiled once.

    Attributes:
        fixed_length: number of characters outside slots.
        nested: names of the slots that hold other reasons.
        causes: names of the slots that hold other reasons, or text that is no reason.
        slots: the type of each slot, by name.
    """

    def __init__(self, sentence: str) -> None:
        parts = [
            _Part(fixed, slot, kind or "") for fixed, slot, kind, _ in Formatter().parse(sentence)
        ]
        self._parts = tuple(parts)
        self.slots = {part.slot: part.kind for part in parts if part.slot is not None}
        self.nested = frozenset(name for name, kind in self.slots.items() if kind == "why")
        self.causes = frozenset(name for name, kind in self.slots.items() if kind == "cause")
        self.fixed_length = sum(len(part.fixed) for part in parts)
        self._pattern: re.Pattern[str] | None = None

    def format(self, values: Mapping[str, Value]) -> str:
        """The sentence with these values."""
        return "".join(
            part.fixed + ("" if part.slot is None else _written(values[part.slot], part.kind))
            for part in self._parts
        )

    def match(self, text: str) -> dict[str, Value] | None:
        """The values of a sentence that `format` wrote; None for any other text."""
        if self._pattern is None:
            self._pattern = re.compile("".join(map(_pattern_of, self._parts)), re.DOTALL)
        if (found := self._pattern.fullmatch(text)) is None:
            return None
        return {name: _read(found[name], kind) for name, kind in self.slots.items()}


def _pattern_of(part: _Part) -> str:
    fixed = re.escape(part.fixed)
    return fixed if part.slot is None else f"{fixed}(?P<{part.slot}>{_PATTERNS[part.kind]})"


def _written(value: Value, kind: str) -> str:
    if isinstance(value, tuple):
        return _names_written(value, kind)
    if kind == "quoted":
        return repr(value)
    return format(value, kind if kind in ("d", ",d", ".2f", ".0f", "g", ".0%") else "")


def _names_written(names: tuple[str, ...], kind: str) -> str:
    match kind:
        case "listed" if len(names) > 1:
            return f"{', '.join(names[:-1])} and {names[-1]}"
        case "either":
            return " or ".join(names)
        case "、":
            return "、".join(names)
    return ", ".join(names)


def _read(text: str, kind: str) -> Value:
    match kind:
        case "d" | ",d":
            return int(text.replace(",", ""))
        case ".2f" | ".0f" | "g":
            return float(text)
        case ".0%":
            return float(text.removesuffix("%")) / 100
        case "quoted":
            return str(ast.literal_eval(text))
        case "commas":
            return tuple(text.split(", "))
        case "either":
            return tuple(text.split(" or "))
        case "listed":
            rest, _, last = text.rpartition(" and ")
            return (*rest.split(", "), last) if rest else (last,)
    return text
