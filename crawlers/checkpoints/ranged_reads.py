"""Ranged reads over HTTP, so that a header is read without the rest of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx

from crawlers.checkpoints.header import ByteSource, FileSource
from crawlers.errors import HubRefused
from crawlers.http.content_encodings import codings_of, decoded
from crawlers.http.transport import Transport
from crawlers.hubs.storage import StorageSource, is_storage
from crawlers.listing import hex_digest

_CHUNK_BYTES = 16 * 1024


class HttpSource:
    """A checkpoint behind a URL that is read with HTTP Range (see `ByteSource` in header.py).

    The connection to a server that ignores Range is closed as soon as the requested bytes have
    come. A range of an encoded body cannot be decoded alone, so such a body is read from its
    beginning.
    """

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url
        self.bytes_read = 0
        self.sha256: str | None = None
        self._size_bytes: int | None = None
        self._by_range = True

    @property
    def size_bytes(self) -> int | None:
        return self._size_bytes

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on; raises UnreadableEncoding, HubError."""
        wanted = {"Range": f"bytes={start}-{start + length - 1}"} if self._by_range else {}
        try:
            with self._transport.stream(self._url, headers=wanted) as response:
                if not (
                    self._by_range and response.status_code == 206 and codings_of(response.headers)
                ):
                    return self._take(response, start, length)
        except HubRefused as error:
            if error.status == 416:  # the range begins behind the end of the file
                return b""
            raise
        self._by_range = False
        return self.read(start, length)

    def _take(self, response: httpx.Response, start: int, length: int) -> bytes:
        skip = 0 if response.status_code == 206 else start
        codings = codings_of(response.headers)
        self._learn_from(response, encoded=bool(codings))
        data = bytearray()
        for chunk in decoded(self._counted(response, min(length + skip, _CHUNK_BYTES)), codings):
            data += chunk
            if len(data) >= skip + length:
                break
        return bytes(data[skip : skip + length])

    def _counted(self, response: httpx.Response, chunk_bytes: int) -> Iterator[bytes]:
        for chunk in response.iter_raw(chunk_bytes):
            self.bytes_read += len(chunk)
            yield chunk

    def _learn_from(self, response: httpx.Response, *, encoded: bool) -> None:
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if response.status_code == 200:
            total = response.headers.get("content-length", "")
        if total.isdigit() and not encoded:
            self._size_bytes = int(total)
        # Hugging Face names the SHA-256 of a large file on the redirect to the CDN.
        for answer in [*response.history, response]:
            self.sha256 = (
                hex_digest(answer.headers.get("x-linked-etag", "").strip('"')) or self.sha256
            )


def source_of(transport: Transport, place: str) -> ByteSource:
    """Random access to a checkpoint at an http(s) address, in object storage or on disk."""
    if place.startswith(("http://", "https://")):
        return HttpSource(transport, place)
    return StorageSource(place) if is_storage(place) else FileSource(Path(place))
