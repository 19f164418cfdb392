"""Who was logged in, as the machine or the pages know it; not who somebody says to be.

A login is a tuple of marks, "uid 1000", "user alice" or "account olga@example.org". Two logins that share a mark are one person's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

Login = tuple[str, ...]
_USER = "user "


def plain(name: str) -> str:
    """A name without what writing it another way changes: letter case, width, accents, blanks, punctuation, invisible signs."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        sign
        for sign in apart
        if not unicodedata.combining(sign) and unicodedata.category(sign)[0] in "LMN"
    )


def same_person(one: str, other: str) -> bool:
    """Whether two operators' names mean one person."""
    return plain(one) == plain(other)


def share_a_mark(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two logins are one person's; one that was not recorded is nobody's."""
    return not {mark.casefold() for mark in one}.isdisjoint(mark.casefold() for mark in other)


def is_named(login: Iterable[str], name: str) -> bool:
    """Whether a login is that of a system's user whom a name means."""
    return any(
        same_person(mark.removeprefix(_USER), name) for mark in login if mark.startswith(_USER)
    )
