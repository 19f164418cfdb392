"""The result of a check."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """The result of one check.

    Attributes:
        item: the file or the statement that was checked.
        ok: whether it holds.
        problem: why it does not hold.
        note: what a check that holds leaves open.
    """

    item: str
    ok: bool
    problem: str | None = None
    note: str | None = None


class Unsound(Exception):
    """A check failed. The message is the problem that the user reads."""


def checked(name: str, check: Callable[..., str | None], *arguments: object) -> Item:
    """Run a check and return its result.

    Args:
        name: of the item.
        check: returns a note or None; raises Unsound if the check fails. Any other exception
            counts as a failure too, since a damaged file can break any parser.
        arguments: for `check`.
    """
    try:
        return Item(name, True, None, check(*arguments))
    except Unsound as error:
        return Item(name, False, str(error))
    except Exception as error:
        return Item(name, False, f"cannot be read: {type(error).__name__}: {error}"[:300])


def printable(text: str) -> str:
    """Replace control, format, surrogate and separator characters other than the space.

    Text from a bundle could otherwise control the terminal that it is printed on.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character)[0] in "CZ" and character != " "
        else character
        for character in text
    )
