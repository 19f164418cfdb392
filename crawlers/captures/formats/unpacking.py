"""Decoding of transfer codings (RFC 9112, 7.1), content codings (RFC 9110, 8.4) and gzip files.

Everything is decoded piece by piece, so a body that expands a thousandfold needs no memory.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import brotli
import zstandard

_CHUNK = 1 << 16
_ZSTD_CHUNK = 1 << 10  # a byte of zstd may become 32 kB, which come out in one piece
_ZSTD_WINDOW_BYTES = 8 << 20  # RFC 9659
_MOST_CODINGS = 5
_MOST_UNCHUNKED_BYTES = 16_000_000
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


class CannotUnpack(Exception):
    """A body is not encoded as stated, or truncated. The part before was already delivered."""


class UnknownCoding(CannotUnpack):
    """A body has a content coding that is not supported."""


def without_chunks(stream: Any) -> Iterator[bytes]:
    """Decode a body with Transfer-Encoding: chunked.

    Many archives keep the header and store the body without chunks. A body that does not begin with
    a chunk is yielded unchanged.

    Raises:
        CannotUnpack: the body ends or is broken inside a chunk.
    """
    line = stream.readline(1_024)
    found = _SIZE_LINE.fullmatch(line)
    first = True
    while found is not None and (size := int(found[1], 16)):
        if first and size <= _MOST_UNCHUNKED_BYTES:
            begin = b"".join(_take(stream, size))
            end = stream.read(2)
            if len(end) == 2 and end != b"\r\n":
                yield line + begin + end
                yield from iter(lambda: stream.read(_CHUNK), b"")
                return
            yield begin
            if len(begin) < size or end != b"\r\n":
                raise CannotUnpack("it ends inside a chunk")
        else:
            taken = 0
            for piece in _take(stream, size):
                taken += len(piece)
                yield piece
            if taken < size or stream.read(2) != b"\r\n":
                raise CannotUnpack("it ends inside a chunk")
        first = False
        found = _SIZE_LINE.fullmatch(stream.readline(1_024))
    if found is None and not first:
        raise CannotUnpack("a chunk has no size")
    if found is None:
        yield line
        yield from iter(lambda: stream.read(_CHUNK), b"")


def _take(stream: Any, size: int) -> Iterator[bytes]:
    while size and (piece := stream.read(min(size, _CHUNK))):
        size -= len(piece)
        yield piece


def codings_in(header: str | None) -> list[str]:
    """The content codings in a header, in the order in which they were applied."""
    words = [word.strip().lower() for word in (header or "").split(",")]
    return [word for word in words if word not in ("", "identity", "none")]


def unpacked(pieces: Iterator[bytes], codings: list[str]) -> Iterator[bytes]:
    """Decode the content codings of a body.

    Raises:
        UnknownCoding: at once, if one of them is not supported.
        CannotUnpack: the bytes are not in that coding, or truncated.
    """
    unknown = [coding for coding in codings if coding not in _CODINGS]
    if unknown or len(codings) > _MOST_CODINGS:
        raise UnknownCoding(f"packed as {', '.join(unknown or codings)[:60]!r}")
    for coding in reversed(codings):
        pieces = _CODINGS[coding](pieces)
    return pieces


def _ungzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _inflate(pieces, 31)


def _undeflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate zlib's format, as in RFC 9110, or the raw one that many servers send."""
    first = next(pieces, b"")
    if len(first) == 1:
        first += next(pieces, b"")
    is_zlib = len(first) >= 2 and first[0] & 0x0F == 8 and int.from_bytes(first[:2]) % 31 == 0
    return _inflate(_after(first, pieces), 15 if is_zlib else -15)


def _after(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _inflate(pieces: Iterator[bytes], window: int) -> Iterator[bytes]:
    """Inflate all members. Other bytes after the last member are ignored, as in browsers."""
    unpacking, members, given = zlib.decompressobj(window), 0, False
    try:
        for piece in pieces:
            packed = piece
            while packed:
                data = unpacking.decompress(packed, _CHUNK)
                given = given or bool(data)
                yield data
                packed = unpacking.unused_data if unpacking.eof else unpacking.unconsumed_tail
                if unpacking.eof:
                    if window != 31:
                        return
                    unpacking, members, given = zlib.decompressobj(window), members + 1, False
        yield unpacking.flush()
    except zlib.error as error:
        if not members or given:
            raise CannotUnpack(str(error)) from error
        return
    if not unpacking.eof and (given or not members):
        raise CannotUnpack("it ends too early")


def _unbrotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacking = brotli.Decompressor()
    try:
        for piece in pieces:
            chunk = unpacking.process(piece, output_buffer_limit=_CHUNK)
            while chunk or not unpacking.can_accept_more_data():
                yield chunk
                chunk = unpacking.process(b"", output_buffer_limit=_CHUNK)
            if unpacking.is_finished():
                return
    except brotli.error as error:
        raise CannotUnpack(str(error)) from error
    raise CannotUnpack("it ends too early")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decode all frames. Other bytes after the last frame are ignored, as with gzip."""
    frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    unpacking, done, given = frames.decompressobj(), 0, False
    try:
        for piece in pieces:
            for begin in range(0, len(piece), _ZSTD_CHUNK):
                packed = piece[begin : begin + _ZSTD_CHUNK]
                while packed:
                    data = unpacking.decompress(packed)
                    given = given or bool(data)
                    yield data
                    packed = unpacking.unused_data if unpacking.eof else b""
                    if unpacking.eof:
                        unpacking, done, given = frames.decompressobj(), done + 1, False
    except zstandard.ZstdError as error:
        if not done or given:
            raise CannotUnpack(str(error)) from error
        return
    if given or not done:
        raise CannotUnpack("it ends too early")


_CODINGS: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _ungzip,
    "x-gzip": _ungzip,
    "deflate": _undeflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """A stream's bytes, piece by piece."""
    return iter(lambda: stream.read(_CHUNK), b"")


def head_of(stream: IO[bytes], most_bytes: int = 4_096) -> bytes:
    """The first bytes of a file, decoded if it is gzip; fewer if it is broken."""
    head = stream.read(most_bytes)
    if not head.startswith(GZIP):
        return head
    stream.seek(0)
    return io.BufferedReader(Members(stream)).read(most_bytes)


def is_packed_as(coding: str, head: bytes) -> bool | None:
    """Whether bytes begin like those of a coding; None for a coding without magic number."""
    if coding in ("gzip", "x-gzip"):
        return head.startswith(GZIP)
    if coding == "zstd":
        return head.startswith(ZSTD) or _ZSTD_SKIPPED.match(head) is not None
    return None


class Members(io.RawIOBase):
    """A gzip file as one stream of all its members.

    warcio refuses files whose members do not hold exactly one record. If a member begins with
    `record_begins`, the stream has a blank line before it, in case the previous record lacks the
    end of its line. Without `record_begins` the members are simply joined.

    Attributes:
        problem: how the file ended wrongly, None if it did not.
    """

    def __init__(self, stream: IO[bytes], record_begins: bytes = b"") -> None:
        self._stream, self._begins = stream, record_begins
        self._unpacking = zlib.decompressobj(31)
        self._packed, self._ready, self._begin, self._last = b"", b"", b"", b"\n"
        self._at_start, self._ended = False, False
        self.problem: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            self._ready = self._more()
        given = self._ready[: len(buffer)]
        self._ready = self._ready[len(given) :]
        buffer[: len(given)] = given
        return len(given)

    def _more(self) -> bytes:
        if self._unpacking.eof and not self._begin_member():
            self._ended = True
            return b""
        self._packed = self._packed or self._stream.read(_CHUNK)
        if not self._packed:
            self._ended, self.problem = True, "cut off"
            return b""
        try:
            data = self._unpacking.decompress(self._packed, _CHUNK)
        except zlib.error:
            self._ended, self.problem = True, "broken"
            return b""
        self._packed = (
            self._unpacking.unused_data if self._unpacking.eof else self._unpacking.unconsumed_tail
        )
        if self._at_start:
            data = self._begin = self._begin + data
            if len(data) < len(self._begins) and not self._unpacking.eof:
                return b""
            self._at_start, self._begin = False, b""
            if self._begins and data.startswith(self._begins) and self._last != b"\n":
                data = b"\r\n\r\n" + data
        self._last = data[-1:] or self._last
        return data

    def _begin_member(self) -> bool:
        """Whether another member follows. Zeros and blank lines after the last one are padding."""
        while True:
            self._packed = self._packed.lstrip(b"\0\r\n") or self._stream.read(_CHUNK)
            if not self._packed:
                return False
            if self._packed.strip(b"\0\r\n"):
                break
        self._packed = self._packed.lstrip(b"\0\r\n")
        if not self._packed.startswith(GZIP[:1]):
            self.problem = "broken"
            return False
        self._unpacking, self._at_start = zlib.decompressobj(31), True
        return True
