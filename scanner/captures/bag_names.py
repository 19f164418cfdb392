"""Which names files may have in a bag, so that every tool reads its manifests in the same way wherever the bag is moved.

RFC 8493 (2.1.3) escapes line breaks and percent signs in manifests; bagit-python undoes only some of it, and file systems
change letter case and Unicode forms. So a file of any other name is kept under a number, and its own name is written down.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

_LONGEST_BYTES = 200
_DEEPEST = 5  # folders, so that `verify` looks into each
_ESCAPES = frozenset("%\\")


def bag_places(names: Iterable[str]) -> dict[str, str]:
    """Where files go in a bag, by their names beside the capture: `beside/NAME`, or `renamed/NUMBER` for odd names."""
    places: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        # On some file systems names that differ in letter case only are one.
        odd = not _is_plain(name) or name.casefold() in used
        places[name] = f"renamed/{len(places) + 1}" if odd else f"beside/{name}"
        if not odd:
            used.add(name.casefold())
    return places


def written(name: str) -> str:
    """A file's name in JSON; bytes that are no UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        name.isprintable()
        and _ESCAPES.isdisjoint(name)
        and unicodedata.is_normalized("NFC", name)
        and all(part == part.strip() for part in parts)
        and len(name.encode()) <= _LONGEST_BYTES
        and len(parts) - 1 <= _DEEPEST
    )
