"""WARC (ISO 28500), plain or gzip, read record by record with warcio; digests of records are checked on the way."""

from __future__ import annotations

import contextlib
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import brotli
from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import ChunkedDataReader
from warcio.exceptions import ArchiveLoadFailed

from crawlers.saved.page import Format, Resources, Start

_CHUNK = 1 << 16
# What warcio, zlib and dechunking raise at broken input.
BROKEN = (
    ArchiveLoadFailed,
    brotli.error,
    lzma.LZMAError,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    AttributeError,
    AssertionError,
)


def read_warc(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Fill `resources`; where its pages begin, what made it, and what was checked."""
    with path.open("rb") as stream:
        return read_warc_stream(stream, resources)


def read_warc_stream(stream: IO[bytes], resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """The same of an open stream. A broken record ends the reading with a note: what came before it counts."""
    starts: list[Start] = []
    tool, right, wrong = None, 0, 0
    referrers: dict[str, str] = {}
    last, cut_off = 0, False
    try:
        records = ArchiveIterator(stream, check_digests=True)
        for record in records:
            last = records.offset
            url = record.rec_headers.get_header("WARC-Target-URI") or ""
            if record.rec_type == "warcinfo":
                tool = tool or _software(record)
            elif record.rec_type == "request" and record.http_headers is not None:
                referrers[url] = record.http_headers.get_header("Referer") or ""
            elif record.rec_type in ("response", "resource") and urlsplit(url).scheme in ("http", "https"):
                start = _take(record, url, referrers.get(url), resources)
                starts += [start] if start else []
            if _is_cut_off(record):
                cut_off = True
            elif record.rec_type in ("response", "resource"):
                right += record.digest_checker.passed is True
                wrong += record.digest_checker.passed is False
        # The beginning of a record without an end: the iterator stops there and says nothing.
        cut_off = cut_off or bool(records.next_line) or _ends_inside_a_member(stream, last)
    except BROKEN as error:
        resources.notes.append(f"the {Format.WARC} ends in a record that cannot be read ({type(error).__name__})")
    if cut_off:
        resources.notes.append(
            f"the {Format.WARC} was cut off: it ends inside a record, and what came after is missing"
        )
    checks = [f"{right} records agree with their own digests"] if right else []
    if wrong:
        checks.append(
            f"{wrong} records do NOT agree with their own digests: they were changed after they were captured"
        )
    return _pages_of(starts, resources), tool, checks


def _is_cut_off(record: Any) -> bool:
    """Whether the file ends inside a record. warcio takes the end of a file for the end of a record, and says nothing."""
    while record.raw_stream.read(_CHUNK):
        pass
    announced = record.rec_headers.get_header("Content-Length")
    return announced is None or getattr(record.raw_stream, "limit", 0) > 0


def _ends_inside_a_member(stream: IO[bytes], start: int) -> bool:
    """Whether the last of the gzip members from `start` on has no end; False for what is not packed."""
    stream.seek(start)
    unpacking = zlib.decompressobj(wbits=31)
    packed = stream.read(_CHUNK)
    if not packed.startswith(b"\x1f\x8b"):
        return False
    while packed:
        unpacking.decompress(packed, _CHUNK)
        packed = unpacking.unused_data if unpacking.eof else unpacking.unconsumed_tail or stream.read(_CHUNK)
        if unpacking.eof and (packed := packed or stream.read(_CHUNK)):
            if not packed.strip(b"\0\r\n"):
                return False
            unpacking = zlib.decompressobj(wbits=31)
    return not unpacking.eof


def _take(record: Any, url: str, referrer: str | None, resources: Resources) -> Start | None:
    headers = record.http_headers
    status = int(headers.get_statuscode() or 200) if headers is not None else 200
    kind = (headers or record.rec_headers).get_header("Content-Type") or ""
    media_type, _, parameters = kind.partition(";")
    body = resources.body()
    for chunk in _chunks(record):
        if not body.write(chunk):
            break
    at = record.rec_headers.get_header("WARC-Date")
    resource = resources.add(
        body, url, media_type=media_type.strip().lower(), charset=charset_in(parameters), status=status, referrer=referrer or None, at=at
    )  # fmt: skip
    return Start(url, saved_at=at) if resource.is_page and status == 200 else None


def _chunks(record: Any) -> Iterator[bytes]:
    """A body without its encodings. warcio 1.8 fails at brotli's, so that one is taken off here."""
    headers = record.http_headers
    encoding = ((headers and headers.get_header("Content-Encoding")) or "").strip().lower()
    if encoding != "br":
        stream = record.content_stream()
        while chunk := stream.read(_CHUNK):
            yield chunk
        return
    chunked = "chunked" in (headers.get_header("Transfer-Encoding") or "").lower()
    stream = ChunkedDataReader(record.raw_stream) if chunked else record.raw_stream
    unpacking = brotli.Decompressor()
    while packed := stream.read(_CHUNK):
        chunk = unpacking.process(packed, output_buffer_limit=_CHUNK)
        while chunk:
            yield chunk
            chunk = b"" if unpacking.can_accept_more_data() else unpacking.process(b"", output_buffer_limit=_CHUNK)


def _software(record: Any) -> str | None:
    text = record.content_stream().read(10_000).decode("utf-8", "replace")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "software":
            return value.strip()[:200] or None
    return None


def _pages_of(starts: list[Start], resources: Resources) -> list[Start]:
    """Pages without those that another page asked for, such as frames; all of them where nobody says."""
    pages = {start.url for start in starts}
    asked = {one.url: one.referrer for one in resources.all if one.is_page}
    own = [start for start in starts if not (asked.get(start.url) in pages and asked[start.url] != start.url)]
    return _first_of_each(own or starts)


def _first_of_each(starts: list[Start]) -> list[Start]:
    return list({start.url: start for start in reversed(starts)}.values())[::-1]


def charset_in(parameters: str) -> str | None:
    """The charset parameter of a Content-Type header."""
    for part in parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            with contextlib.suppress(LookupError):
                return value.strip().strip("\"'") or None
    return None
