"""A file that is fingerprinted while its bytes still arrive, so that the answer need not wait."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from crawlers.checkpoints.header import MAX_HEADER_BYTES
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import Fingerprint, fingerprint_from

_LENGTH_BYTES = 8


class ArrivingFile:
    """Random access to the bytes of an upload; reading waits until they have come.

    A ByteSource (crawlers.checkpoints.header) whose size is unknown until the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._come = threading.Condition()
        self._size, self._has_ended = 0, False
        self.bytes_read = 0

    @property
    def size_bytes(self) -> int | None:
        return self._size if self._has_ended else None

    def arrived(self, size_bytes: int, *, end: bool = False) -> None:
        """Tell how many bytes are on disk by now, and whether no more will come."""
        with self._come:
            self._size, self._has_ended = size_bytes, end
            self._come.notify_all()

    def read(self, start: int, length: int) -> bytes:
        with self._come:
            self._come.wait_for(lambda: self._has_ended or self._size >= start + length)
        with self._path.open("rb") as stream:
            stream.seek(start)
            data = stream.read(length)
        self.bytes_read += len(data)
        return data


class WeightsHash:
    """SHA-256 of the tensor bytes behind a safetensors header, of bytes given in order."""

    def __init__(self) -> None:
        self._beginning, self._skip = bytearray(), -1
        self._digest = hashlib.sha256()

    def update(self, data: bytes) -> None:
        if self._skip < 0:
            self._beginning += data
            if len(self._beginning) < _LENGTH_BYTES:
                return
            data, self._beginning = bytes(self._beginning), bytearray()
            self._skip = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        self._digest.update(data[self._skip :])
        self._skip = 0

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()


class ArrivingFingerprints:
    """Fingerprints of uploads, in threads of their own.

    Args:
        most: number of uploads that are received at a time.
    """

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="fingerprint")

    def begin(self, file: ArrivingFile) -> Future[Fingerprint | None]:
        """Begin with the fingerprint of a file; the result is None if it has none."""
        return self._threads.submit(_fingerprint_of, file)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _fingerprint_of(file: ArrivingFile) -> Fingerprint | None:
    try:
        beginning = file.read(0, _LENGTH_BYTES)
        if int.from_bytes(beginning, "little") > MAX_HEADER_BYTES:
            return None
        return fingerprint_from(file)
    except (NoFingerprint, OSError):
        return None
