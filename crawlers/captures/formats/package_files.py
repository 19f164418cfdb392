"""The files of a zip by the names that the list of a package uses, in any spelling."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from crawlers.errors import CaptureRefused

_LIST = "datapackage.json"


class PackageFiles:
    """A zip whose names are relative to the package: without "./" and without an outer folder.

    Raises:
        CaptureRefused: it holds several packages, each in a folder.
        zipfile.BadZipFile: it is not a zip.
    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        try:
            plain: dict[str, str] = {}
            for name in self._zip.namelist():
                # Of two spellings the plain one counts, of equal names the last one, as in every
                # zip program.
                if plain_name(name) not in plain or name == plain_name(name):
                    plain[plain_name(name)] = name
            root = _root_of(plain)
        except CaptureRefused:
            self._zip.close()
            raise
        self._members = {name.removeprefix(root): member for name, member in plain.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def infolist(self) -> list[zipfile.ZipInfo]:
        return self._zip.infolist()

    def open(self, name: str) -> IO[bytes]:
        return self._zip.open(self._members[name])


def plain_name(name: str) -> str:
    """A name without "./", double slashes and backslashes; ".." and web addresses stay."""
    if "://" in name:
        return name
    parts = name.replace("\\", "/").split("/")
    inside = "/".join(part for part in parts if part not in ("", "."))
    return f"{inside}/" if inside and parts[-1] in ("", ".") else inside


def _root_of(names: dict[str, str]) -> str:
    """The folder of the package, "" if it begins at the top."""
    if _LIST in names:
        return ""
    folders = [
        name.removesuffix(_LIST)
        for name in names
        if name.endswith(f"/{_LIST}") and name.count("/") == 1
    ]
    if len(folders) > 1:
        listed = ", ".join(sorted(folders))[:200]
        raise CaptureRefused(
            f"it holds several packages: unpack it, pack each folder and take it in, {listed}"
        )
    return folders[0] if folders else ""
