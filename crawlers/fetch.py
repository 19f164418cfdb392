"""Bytes from a hub: ranged reads for triage, resumable and verified downloads for sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx

from crawlers.errors import DownloadError, DownloadTooLarge, HashMismatch, HubRefused
from crawlers.hashes import sha256_of
from crawlers.listing import RemoteFile
from crawlers.transport import Transport

MAX_CHECKPOINT_BYTES = 32 * 1024**3
_CHUNK_BYTES = 256 * 1024

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk so far and the expected total, if known."""


class HttpSource:
    """A checkpoint behind a URL, read piecewise by HTTP Range (crawlers.header.ByteSource).

    A server that ignores Range is cut off as soon as the wanted bytes have come.
    """

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url
        self.bytes_read = 0
        self.sha256: str | None = None
        self._size_bytes: int | None = None

    @property
    def size_bytes(self) -> int | None:
        return self._size_bytes

    def read(self, start: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={start}-{start + length - 1}"}
        try:
            with self._transport.stream(self._url, headers=wanted) as response:
                return self._take(response, start, length)
        except HubRefused as error:
            if error.status == 416:  # the range lies behind the end: an empty file, or a short one
                return b""
            raise

    def _take(self, response: httpx.Response, start: int, length: int) -> bytes:
        skip = 0 if response.status_code == 206 else start
        self._learn_from(response)
        data = bytearray()
        for chunk in response.iter_raw(min(length + skip, _CHUNK_BYTES)):
            self.bytes_read += len(chunk)
            data += chunk
            if len(data) >= skip + length:
                break
        return bytes(data[skip : skip + length])

    def _learn_from(self, response: httpx.Response) -> None:
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if response.status_code == 200:
            total = response.headers.get("content-length", "")
        if total.isdigit():
            self._size_bytes = int(total)
        # Hugging Face names the SHA-256 of a large file on the redirect, before the CDN answers.
        for answer in [*response.history, response]:
            etag = answer.headers.get("x-linked-etag", "").strip('"')
            if len(etag) == 64:
                self.sha256 = etag.lower()


def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    progress: Progress | None = None,
    max_bytes: int = MAX_CHECKPOINT_BYTES,
) -> tuple[Path, str]:
    """Download a file into `folder`, continuing what an earlier, interrupted call left there.

    Returns:
        The path, whose name is the SHA-256, and that SHA-256 in lower-case hex.

    Raises:
        HashMismatch: complete, but other bytes than the hub named; nothing is kept.
        DownloadTooLarge: more bytes than `max_bytes`; nothing is kept.
        DownloadError: the server ended the body early, twice in a row without progress.
        HubRefused, HubUnreachable: as the transport says; what came so far is kept for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (hashlib.sha256(f"{file.url} {file.sha256}".encode()).hexdigest()[:24] + ".part")
    _complete(transport, file, partial, progress, max_bytes)
    actual = sha256_of(partial)
    if file.sha256 is not None and actual != file.sha256:
        partial.unlink()
        raise HashMismatch(file.url, file.sha256, actual)
    final = folder / actual
    partial.replace(final)
    return final, actual


def _complete(transport: Transport, file: RemoteFile, partial: Path, progress: Progress | None, max_bytes: int) -> None:
    stalled = 0
    while True:
        have = partial.stat().st_size if partial.exists() else 0
        total = _append(transport, file.url, partial, have, progress, max_bytes)
        now = partial.stat().st_size
        if total is None or now >= total:
            return
        stalled = stalled + 1 if now == have else 0
        if stalled >= 2:
            raise DownloadError(f"{file.url}: the server stops after {now:,} of {total:,} bytes; try again later")


def _append(
    transport: Transport, url: str, partial: Path, have: int, progress: Progress | None, max_bytes: int
) -> int | None:
    """Append what the server sends from byte `have` on; the total length, None if it is not said."""
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with transport.stream(url, headers=headers) as response:
            resumed = response.status_code == 206 and have > 0
            start = have if resumed else 0  # a 200 to a Range request is the whole file from its start
            length = response.headers.get("content-length", "")
            total = start + int(length) if length.isdigit() else None
            if (total or 0) > max_bytes:
                raise DownloadTooLarge(f"{url} announces {total:,} bytes, the limit is {max_bytes:,}")
            with partial.open("ab" if resumed else "wb") as out:
                _copy(response, out, start, total, progress, max_bytes)
            return total
    except DownloadTooLarge:
        partial.unlink(missing_ok=True)
        raise
    except HubRefused as error:
        if error.status == 416 and have:  # nothing lies behind what we have: complete
            return have
        raise


def _copy(
    response: httpx.Response, out: IO[bytes], have: int, total: int | None, progress: Progress | None, max_bytes: int
) -> None:
    """Write the body; a connection that breaks is left to the caller, who sees what is missing."""
    try:
        for chunk in response.iter_raw():  # as it comes: a broken connection then loses nothing
            out.write(chunk)
            have += len(chunk)
            if have > max_bytes:
                raise DownloadTooLarge(f"{response.url} sends more than {max_bytes:,} bytes")
            if progress is not None:
                progress(have, total)
    except httpx.TransportError:
        if total is None:
            raise
