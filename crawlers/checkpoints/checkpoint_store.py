"""The store of checkpoints on disk, each named by its SHA-256, within a size budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crawlers.checkpoints.archives import Member, is_archive, unpack
from crawlers.checkpoints.download import Progress, download
from crawlers.errors import CrawlError, NoRoom
from crawlers.hashes import sha256_of
from crawlers.http.transport import Transport
from crawlers.hubs.storage import is_storage
from crawlers.listing import RemoteFile

_SHA256_DIGITS = 64
STALE_PART_S = 14 * 24 * 3600.0


def files_still_there(folder: Path) -> list[tuple[Path, int, float]]:
    """The files in a folder with their sizes and modification times; none without a folder.

    Other processes finish and delete files meanwhile, so a file may vanish between the listing and
    the call of stat. Such a file is left out.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((path, status.st_size, status.st_mtime))
    return found


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint that can be opened.

    Attributes:
        path: an existing file with this SHA-256.
        members: the unpacked weights files of an archive; empty for any other file.
    """

    path: Path
    sha256: str
    members: tuple[Member, ...] = ()


class CheckpointStore:
    """The folder of fetched checkpoints. Local files stay where they are and are only hashed.

    Args:
        cited: returns the SHA-256 of checkpoints that cases cite. They are evidence and are never
            deleted to make room.
    """

    def __init__(
        self, folder: Path, budget_bytes: int, cited: Callable[[], frozenset[str]] = frozenset[str]
    ) -> None:
        self._folder, self._budget_bytes, self._cited = folder, budget_bytes, cited

    def path_of(self, sha256: str) -> Path | None:
        """The path of a stored checkpoint, None if it is not stored."""
        path = self._folder / sha256
        return path if path.exists() else None

    def obtain(
        self, transport: Transport, file: RemoteFile, progress: Progress | None = None
    ) -> StoredCheckpoint:
        """Return the checkpoint on disk, downloaded only if it is missing.

        Raises:
            CrawlError: the checkpoint cannot be had; the message says why.
        """
        if not file.url.startswith(("http://", "https://")) and not is_storage(file.url):
            if not file.url:
                raise CrawlError(f"nobody says where {file.name} can be had")
            return self._local(Path(file.url))
        known = self.path_of(file.sha256) if file.sha256 else None
        if known is not None and file.sha256 is not None:
            known.touch()
            return self._opened(known, file.sha256)
        self._make_room(file.size_bytes or 0, file.name)
        path, sha256 = download(transport, file, self._folder, progress, self._budget_bytes)
        self._make_room(0, file.name, keep=path.name)
        return self._opened(path, sha256)

    def adopt(self, path: Path, sha256: str, name: str) -> Path:
        """Move a file with a known SHA-256 into the store and return its path; raises NoRoom."""
        final = self._folder / sha256
        if final.exists():
            path.unlink(missing_ok=True)
        elif path.exists():
            self._make_room(path.stat().st_size, name)
            self._folder.mkdir(parents=True, exist_ok=True)
            path.replace(final)
        else:
            raise CrawlError(f"{name} is not here any more; send it again")
        final.touch()
        return final

    def stored(self) -> list[tuple[str, Path]]:
        """The SHA-256 and path of every complete checkpoint, in the order of the hashes."""
        found = ((path.name, path) for path, _, _ in files_still_there(self._folder))
        return sorted((name, path) for name, path in found if len(name) == _SHA256_DIGITS)

    def used_bytes(self) -> int:
        """The size of the store on disk."""
        return sum(size for _, size, _ in files_still_there(self._folder))

    def _opened(self, path: Path, sha256: str) -> StoredCheckpoint:
        if not is_archive(path):
            return StoredCheckpoint(path, sha256)
        self._folder.mkdir(parents=True, exist_ok=True)
        return StoredCheckpoint(path, sha256, unpack(path, self._folder))

    def _local(self, path: Path) -> StoredCheckpoint:
        try:
            return self._opened(path, sha256_of(path))
        except OSError as error:
            raise CrawlError(f"{path} cannot be read: {error.strerror}") from error

    def _make_room(self, wanted_bytes: int, name: str, keep: str = "") -> None:
        """Delete the checkpoints unused for longest until this much more fits the budget."""
        if not self._folder.exists():
            return
        used = self.used_bytes() + wanted_bytes
        if used <= self._budget_bytes:
            return
        cited = self._cited()
        by_age = sorted(files_still_there(self._folder), key=lambda file: file[2])
        for path, size, modified in by_age:
            if ".part" in path.suffixes and time.time() - modified < STALE_PART_S:
                continue
            if path.name == keep or path.name.partition(".")[0] in cited:
                continue
            used -= size
            path.unlink(missing_ok=True)
            if used <= self._budget_bytes:
                return
        raise NoRoom(
            f"there is no room for {name}: cases cite so many checkpoints that "
            f"{self._budget_bytes / 1e9:,.1f} GB are full; raise checkpoint_budget_gb in "
            "portrait-scanner.toml and run the same command again"
        )
