"""Conversion of values in untrusted JSON; each function falls back to None or an empty value."""

from __future__ import annotations

from typing import Any

LARGEST = 2**63 - 1  # what SQLite holds
# The exceptions that reading a document of unknown shape can raise.
ODD_SHAPES = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
    IndexError,
)


def text_of(value: Any) -> str | None:
    """Text, or a number as text; None for anything else."""
    return (
        str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    )


def count_of(value: Any) -> int | None:
    """A non-negative number as an integer, None if it is none or too large for SQLite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LARGEST else None


def words_of(value: Any) -> tuple[str, ...]:
    """The texts of a list, or a single text as a tuple of one."""
    items = value if isinstance(value, list) else [value]
    return tuple(text for item in items if (text := text_of(item)))


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; other items are left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mended(value: Any) -> Any:
    """The value without lone surrogates.

    JSON escapes can smuggle them in, and neither databases nor reports can hold them.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(name): mended(item) for name, item in value.items()}
    return value
