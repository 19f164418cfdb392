"""Values out of strangers' JSON, as what they ought to be or as nothing."""

from __future__ import annotations

from typing import Any

LARGEST = 2**63 - 1  # what SQLite holds
# What reading a document of unknown shape can raise.
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
    """A number of things, None for anything that is none or cannot be stored."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LARGEST else None


def words_of(value: Any) -> tuple[str, ...]:
    """The texts of a list, or one text alone."""
    items = value if isinstance(value, list) else [value]
    return tuple(text for item in items if (text := text_of(item)))


def object_of(value: Any) -> dict[str, Any]:
    """An object, empty where something else stands."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; whatever else stands in it is left out."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def mended(value: Any) -> Any:
    """The same without halves of characters, which an escape can smuggle in and no database and no report can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [mended(one) for one in value]
    if isinstance(value, dict):
        return {mended(name): mended(one) for name, one in value.items()}
    return value
