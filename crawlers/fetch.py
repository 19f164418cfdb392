"""Ranged reads: the header of a checkpoint without the rest of it."""

from __future__ import annotations

from pathlib import Path

import httpx

from crawlers.errors import HubRefused
from crawlers.header import ByteSource, FileSource
from crawlers.listing import hex_digest
from crawlers.storage import StorageSource, is_storage
from crawlers.transport import Transport

_CHUNK_BYTES = 16 * 1024


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
            self.sha256 = hex_digest(answer.headers.get("x-linked-etag", "").strip('"')) or self.sha256


def source_of(transport: Transport, place: str) -> ByteSource:
    """Random access to a checkpoint at an http(s) address, in object storage or on disk."""
    if place.startswith(("http://", "https://")):
        return HttpSource(transport, place)
    return StorageSource(place) if is_storage(place) else FileSource(Path(place))
