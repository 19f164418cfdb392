"""Digests of WARC records (WARC 1.1, 5.8 and 5.9), checked while the records are read.

warcio's own check reports a record as changed if its digest is of an unknown algorithm or in
another encoding.
"""

from __future__ import annotations

import hashlib
from typing import Any

from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import DecompressingBufferedReader
from warcio.limitreader import LimitReader
from warcio.recordloader import ArcWarcRecordLoader

from crawlers.captures.formats.digests import digest_of

_LONGEST_LINE_BYTES = 1 << 20  # of a header line


def records_of(stream: Any) -> Any:
    """The records of a WARC, as an ArchiveIterator; `agrees` works on each of them."""
    found = ArchiveIterator(stream, check_digests=True)
    found.loader = _Loader(verify_http=False, arc2warc=False)
    found.reader = _BoundedLines(found.fh)
    return found


class _BoundedLines(DecompressingBufferedReader):  # type: ignore[misc]
    """warcio's reader with bounded lines.

    Without a bound it would join a line without an end anew with every block, for hours.
    """

    def readline(self, length: int | None = None) -> bytes:
        return bytes(super().readline(min(length or _LONGEST_LINE_BYTES, _LONGEST_LINE_BYTES)))


def agrees(record: Any) -> bool | None:
    """Whether a record that was read to its end fits its digests; None if none was checked."""
    stream = record.raw_stream
    return stream.verdict(record) if isinstance(stream, _Hashing) else None


def has_digest(record: Any) -> bool:
    """Whether a record has a digest of itself."""
    return any(
        record.rec_headers.get_header(name) for name in ("WARC-Block-Digest", "WARC-Payload-Digest")
    )


class _Hashing(LimitReader):  # type: ignore[misc]
    """The block of a record, hashed while it is read."""

    def __init__(self, stream: Any, limit: int, block: str | None, payload: str | None) -> None:
        super().__init__(stream, limit)
        self._block, self._payload = _Check(block), _Check(payload)
        self._in_payload = False

    def begin_payload(self) -> None:
        self._in_payload = True

    def _update(self, buff: bytes) -> bytes:
        self._block.update(buff)
        if self._in_payload:
            self._payload.update(buff)
        return bytes(super()._update(buff))

    def verdict(self, record: Any) -> bool | None:
        headers = record.http_headers
        chunked = "chunked" in ((headers and headers.get_header("Transfer-Encoding")) or "").lower()
        payload = self._payload.holds()
        # Some tools compute the digest of a chunked payload before decoding, some after.
        found = [self._block.holds(), payload if payload or not chunked else None]
        return None if found == [None, None] else False not in found


class _Check:
    def __init__(self, text: str | None) -> None:
        self._stated = digest_of(text)
        self._found = hashlib.new(self._stated[0], usedforsecurity=False) if self._stated else None

    def update(self, data: bytes) -> None:
        if self._found is not None:
            self._found.update(data)

    def holds(self) -> bool | None:
        if self._found is None or self._stated is None:
            return None
        return self._found.digest() == self._stated[1]


class _Loader(ArcWarcRecordLoader):  # type: ignore[misc]
    def wrap_digest_verifying_stream(
        self, stream: Any, rec_type: str, rec_headers: Any, _: Any, length: int | None = None
    ) -> tuple[Any, bool]:
        block = rec_headers.get_header("WARC-Block-Digest")
        payload = rec_headers.get_header("WARC-Payload-Digest")
        # The payload of a revisit or segment is elsewhere, or only a part.
        if rec_type == "revisit" or rec_headers.get_header("WARC-Segment-Number"):
            payload = None
        return _Hashing(stream, length or 0, block, payload), True
