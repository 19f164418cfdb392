"""A hub made of files on disk: for tests, air-gapped users and uploads not yet published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawlers.listing import (
    Listing,
    Page,
    Partition,
    Presence,
    RemoteFile,
    SinglePartition,
    bare_listing,
)

# Also those of weights and archives that are not read here: they are listed, and fail by name.
CHECKPOINT_ENDINGS = frozenset(
    {
        ".safetensors",
        ".sft",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".zip",
        ".gguf",
        ".7z",
        ".rar",
        ".npz",
        ".npy",
    }
)
PAGE_SIZE = 1_000


class FolderHub(SinglePartition):
    """Every checkpoint below a folder, in the order of its names; a single file is a folder of one."""

    name = "folder"

    def __init__(self, root: Path) -> None:
        self._root = root

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Pages of 1,000 files; the cursor is the last path of the page before."""
        if self._root.is_file():
            yield Page((listing_of(self._root),), None)
            return
        closed: list[str] = []
        walk = os.walk(
            self._root, onerror=lambda error: closed.append(f"{error.filename} ({error.strerror})")
        )
        paths = [
            os.path.join(folder, name)  # noqa: PTH118  a hundred thousand paths
            for folder, _, names in walk
            for name in names
            if is_checkpoint(name)
        ]
        gap = f"{', '.join(closed[:3])} cannot be read" if closed else None
        left = sorted(path for path in paths if cursor is None or path > cursor)
        since = partition.since.timestamp() if partition.since else 0.0
        if gap is not None and not left:
            yield Page((), None, gap=gap)
        while left:
            part, left = left[:PAGE_SIZE], left[PAGE_SIZE:]
            there = [
                Path(path)
                for path in part
                if Path(path).is_file() and Path(path).stat().st_mtime >= since
            ]
            yield Page(
                tuple(map(listing_of, there)),
                part[-1] if left else None,
                gap=gap if not left else None,
            )

    def check_presence(self, listing_id: str) -> Presence:
        return Presence.LISTED if Path(listing_id).is_file() else Presence.GONE


def is_checkpoint(name: Any) -> bool:
    """Whether a file's name ends as those of weights do."""
    return isinstance(name, str) and any(
        name.lower().endswith(ending) for ending in CHECKPOINT_ENDINGS
    )


def listing_of(path: Path) -> Listing:
    """A listing that says no more than the file's name and place."""
    place = path.resolve()
    # Reports travel and quote this address: the name and the hashes tell the file, the machine's folders do not belong there.
    file = RemoteFile(path.name, str(place), place.stat().st_size)
    return bare_listing(FolderHub.name, str(place), path.name, f"file:{path.name}", file)
