"""Logins: who is logged in according to the operating system or the web pages.

They are compared instead of the names that operators give themselves. A login is a tuple of marks,
such as "uid 1000", "user alice" or "account olga@example.org". Two logins that share a mark belong
to one person.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

Login = tuple[str, ...]
_USER = "user "


def plain(name: str) -> str:
    """Return a name in a form that does not depend on how it is written.

    Letter case, width, accents, spaces, punctuation and invisible characters are removed.
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        character
        for character in decomposed
        if not unicodedata.combining(character) and unicodedata.category(character)[0] in "LMN"
    )


def same_person(first: str, second: str) -> bool:
    """Whether two operators' names mean one person."""
    return plain(first) == plain(second)


def share_a_mark(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether two logins belong to one person. A login that was not recorded belongs to nobody."""
    return not {mark.casefold() for mark in first}.isdisjoint(mark.casefold() for mark in second)


def is_named(login: Iterable[str], name: str) -> bool:
    """Whether a login is that of an operating system's user with that name."""
    return any(
        same_person(mark.removeprefix(_USER), name) for mark in login if mark.startswith(_USER)
    )
