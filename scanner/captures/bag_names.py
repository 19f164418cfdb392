"""File names in a bag that every tool reads in the same way, on every file system.

RFC 8493 (2.1.3) escapes line breaks and percent signs in manifests; bagit-python undoes only part
of that, and file systems change letter case and Unicode forms. So a file whose name could change is
stored under a number, and its own name is recorded beside it.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

_LONGEST_BYTES = 200
_DEEPEST = 5  # folders; `verify` reads no deeper ones
_ESCAPES = frozenset("%\\")


def bag_places(names: Iterable[str]) -> dict[str, str]:
    """Paths in a bag by the files' names beside the capture.

    A path is `beside/NAME`, or `renamed/NUMBER` if the name is not portable.
    """
    places: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        # Some file systems treat names that differ in letter case only as the same name.
        odd = not _is_plain(name) or name.casefold() in used
        places[name] = f"renamed/{len(places) + 1}" if odd else f"beside/{name}"
        if not odd:
            used.add(name.casefold())
    return places


def name_in_json(name: str) -> str:
    """A file's name as JSON can hold it; bytes that are not UTF-8 become escapes."""
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
