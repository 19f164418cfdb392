"""The weights files of a listed file, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crawlers.checkpoints.archives import Member
from crawlers.hubs.storage import is_storage
from crawlers.listing import RemoteFile


def weights_files(
    file: RemoteFile, path: Path, members: Sequence[Member]
) -> list[tuple[RemoteFile, Path]]:
    """Return the weights files to examine: the file itself, or the members of an archive."""
    if not members:
        return [(file, path)]
    return [
        (replace(file, name=f"{file.name}: {member.name}", sha256=member.sha256), member.path)
        for member in members
    ]


def is_elsewhere(file: RemoteFile) -> bool:
    """Whether a file lies on a hub or in object storage."""
    return file.url.startswith(("http://", "https://")) or is_storage(file.url)
