"""The folder of evidence: files that cases name by their SHA-256."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from reports.errors import EvidenceAltered


class EvidenceFiles:
    """Files that are written once and checked whenever they are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_empty(self) -> bool:
        return not self._folder.is_dir() or not any(self._folder.iterdir())

    def keep(self, data: bytes, suffix: str = "png") -> str:
        """Store bytes under their SHA-256 and return that, lower-case hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256, suffix)
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            # A random name, because another process may store the same bytes at the same time.
            partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
            try:
                partial.touch(0o600)  # faces, and notices with personal data
                partial.write_bytes(data)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return sha256

    def kept(self, sha256: str, suffix: str = "png") -> bytes:
        """The bytes of a stored file; raises EvidenceAltered if they have another SHA-256."""
        path = self._path(sha256, suffix)
        if not path.exists() or hashlib.sha256(data := path.read_bytes()).hexdigest() != sha256:
            raise EvidenceAltered(str(path))
        return data

    def _path(self, sha256: str, suffix: str) -> Path:
        return self._folder / f"{sha256}.{suffix}"
