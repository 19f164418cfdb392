"""A hub made of files on disk: for tests, air-gapped users and uploads not yet published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crawlers.listing import Listing, RemoteFile, bare_listing

CHECKPOINT_ENDINGS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl"})


class FolderHub:
    """Every checkpoint below a folder, in the order of its names; a single file is a folder of one."""

    name = "folder"

    def __init__(self, root: Path) -> None:
        self._root = root

    def listings(self) -> Iterator[Listing]:
        if self._root.is_file():
            yield listing_of(self._root)
            return
        for path in sorted(self._root.rglob("*")):
            if path.is_file() and path.suffix.lower() in CHECKPOINT_ENDINGS:
                yield listing_of(path)


def listing_of(path: Path) -> Listing:
    """A listing that says no more than the file's name and place."""
    place = path.resolve()
    # Reports travel and quote this address: the name and the hashes tell the file, the machine's folders do not belong there.
    file = RemoteFile(path.name, str(place), place.stat().st_size)
    return bare_listing(FolderHub.name, str(place), path.name, f"file:{path.name}", file)
