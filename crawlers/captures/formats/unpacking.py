"""Bodies without their transfer and content codings (RFC 9112, 7.1; RFC 9110, 8.4), gzip as a stream.

Everything is done piece by piece, so that a body that unpacks to a thousand times its size costs no
memory.
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
_ZSTD_CHUNK = 1 << 10  # a byte of zstd may become 32 kB, and a piece comes out at once
_ZSTD_WINDOW_BYTES = 8 << 20  # RFC 9659
_MOST_CODINGS = 5
_MOST_UNCHUNKED_BYTES = 16_000_000
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


class CannotUnpack(Exception):
    """A body is not packed as it claims, or it was cut off; what came before was given already."""


class UnknownCoding(CannotUnpack):
    """A body is packed in a way that is not read."""


def without_chunks(stream: Any) -> Iterator[bytes]:
    """A body sent with Transfer-Encoding: chunked, without its chunk sizes and trailers.

    Many archives keep the header and store the body without chunks. A body that does not begin with
    a chunk is given as it is.

    Raises:
        CannotUnpack: it ends, or goes wrong, inside a chunk.
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
    """The content codings that a header names, in the order in which they were applied."""
    told = [one.strip().lower() for one in (header or "").split(",")]
    return [one for one in told if one not in ("", "identity", "none")]


def unpacked(pieces: Iterator[bytes], codings: list[str]) -> Iterator[bytes]:
    """A body without its content codings.

    Raises:
        UnknownCoding: at once, where one of them is not read.
        CannotUnpack: where the bytes are not what they claim, or end too early.
    """
    unknown = [one for one in codings if one not in _CODINGS]
    if unknown or len(codings) > _MOST_CODINGS:
        raise UnknownCoding(f"packed as {', '.join(unknown or codings)[:60]!r}")
    for coding in reversed(codings):
        pieces = _CODINGS[coding](pieces)
    return pieces


def _ungzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _inflate(pieces, 31)


def _undeflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate zlib's form, as RFC 9110 says, or the plain one that many servers send."""
    first = next(pieces, b"")
    if len(first) == 1:
        first += next(pieces, b"")
    is_zlib = len(first) >= 2 and first[0] & 0x0F == 8 and int.from_bytes(first[:2]) % 31 == 0
    return _inflate(_after(first, pieces), 15 if is_zlib else -15)


def _after(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _inflate(pieces: Iterator[bytes], window: int) -> Iterator[bytes]:
    """Inflate all members; what comes after the last and is none is ignored, as browsers do."""
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
    """All frames; what comes after the last and is none is ignored, as in gzip."""
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
    "gzip": _ungzip, "x-gzip": _ungzip, "deflate": _undeflate, "br": _unbrotli, "zstd": _unzstd,
}  # fmt: skip


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """A stream's bytes, piece by piece."""
    return iter(lambda: stream.read(_CHUNK), b"")


def head_of(stream: IO[bytes], most_bytes: int = 4_096) -> bytes:
    """The first bytes of a file, unpacked where it is gzip; fewer where it is broken."""
    head = stream.read(most_bytes)
    if not head.startswith(GZIP):
        return head
    stream.seek(0)
    return io.BufferedReader(Members(stream)).read(most_bytes)


def is_packed_as(coding: str, head: bytes) -> bool | None:
    """Whether bytes begin as a coding's do; None for one that has no mark of its own."""
    if coding in ("gzip", "x-gzip"):
        return head.startswith(GZIP)
    if coding == "zstd":
        return head.startswith(ZSTD) or _ZSTD_SKIPPED.match(head) is not None
    return None


class Members(io.RawIOBase):
    """A gzip file as the one stream that its members are together, wherever one of them begins.

    warcio refuses files whose members hold more or less than one record. `record_begins` tells where
    a record starts: one that starts a member is given a line of its own even where the record before
    forgot to end its line. Without it the members are joined as they are.

    Attributes:
        problem: how the file ended where it should not have.
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
        """Whether another member follows; zeros and blank lines after the last are padding."""
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
