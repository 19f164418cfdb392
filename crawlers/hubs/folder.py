"""A hub of files on disk, for tests, machines without network and unpublished uploads."""

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

# Formats and archives that cannot be read are listed as well, and fail with their name.
CHECKPOINT_ENDINGS = frozenset(
    {".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".zip", ".gguf", ".7z",
     ".rar", ".npz", ".npy"}
)  # fmt: skip
PAGE_SIZE = 1_000


class FolderHub(SinglePartition):
    """Every checkpoint below a folder, sorted by path; a single file counts as a folder of one."""

    name = "folder"

    def __init__(self, root: Path) -> None:
        self._root = root

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of 1,000 files; the cursor is the last path of the previous page."""
        if self._root.is_file():
            yield Page((listing_of(self._root),), None)
            return
        closed: list[str] = []
        walk = os.walk(
            self._root, onerror=lambda error: closed.append(f"{error.filename} ({error.strerror})")
        )
        paths = [
            os.path.join(folder, name)  # noqa: PTH118  Path is too slow for 100,000 files
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
            files = [
                Path(path)
                for path in part
                if Path(path).is_file() and Path(path).stat().st_mtime >= since
            ]
            yield Page(
                tuple(map(listing_of, files)),
                part[-1] if left else None,
                gap=gap if not left else None,
            )

    def check_presence(self, listing_id: str) -> Presence:
        return Presence.LISTED if Path(listing_id).is_file() else Presence.GONE


def is_checkpoint(name: Any) -> bool:
    """Whether a file's name has one of CHECKPOINT_ENDINGS."""
    return isinstance(name, str) and any(
        name.lower().endswith(ending) for ending in CHECKPOINT_ENDINGS
    )


def listing_of(path: Path) -> Listing:
    """A listing that holds only the file's name and path."""
    place = path.resolve()
    # Reports quote this address. Name and hashes identify the file; the folders of this machine
    # do not belong in reports.
    file = RemoteFile(path.name, str(place), place.stat().st_size)
    return bare_listing(FolderHub.name, str(place), path.name, f"file:{path.name}", file)
