"""Checkpoints on disk, each named by the SHA-256 of its bytes, within a size budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crawlers.errors import CrawlError
from crawlers.fetch import Progress, download
from crawlers.hashes import sha256_of
from crawlers.listing import RemoteFile
from crawlers.transport import Transport


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint that can be opened: `path` exists and has this SHA-256."""

    path: Path
    sha256: str


class CheckpointStore:
    """The folder of fetched checkpoints. Local files stay where they are and are only hashed."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder, self._budget_bytes = folder, budget_bytes

    def obtain(self, transport: Transport, file: RemoteFile, progress: Progress | None = None) -> StoredCheckpoint:
        """The checkpoint on disk, downloaded only if it is not there yet.

        Raises:
            CrawlError: it cannot be had; the message says why.
        """
        if not file.url.startswith(("http://", "https://")):
            return self._local(Path(file.url))
        if file.sha256 is not None:
            known = self._folder / file.sha256
            if known.exists():
                known.touch()
                return StoredCheckpoint(known, file.sha256)
        path, sha256 = download(transport, file, self._folder, progress)
        self._evict(keep=path)
        return StoredCheckpoint(path, sha256)

    @staticmethod
    def _local(path: Path) -> StoredCheckpoint:
        try:
            return StoredCheckpoint(path, sha256_of(path))
        except OSError as error:
            raise CrawlError(f"{path} cannot be read: {error.strerror}") from error

    def _evict(self, keep: Path) -> None:
        """Delete the longest unused checkpoints until the budget holds; never the one just fetched."""
        stored = sorted(
            (path for path in self._folder.iterdir() if path.suffix != ".part"), key=lambda path: path.stat().st_mtime
        )
        total = sum(path.stat().st_size for path in stored)
        for path in stored:
            if total <= self._budget_bytes:
                return
            if path != keep:
                total -= path.stat().st_size
                path.unlink()
