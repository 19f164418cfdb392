"""Decoding of bodies that a server encodes unasked (Content-Encoding, RFC 9110, section 8.4).

gzip and deflate are decoded piece by piece. Every other coding is refused by name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from crawlers.errors import UnreadableEncoding

# Values of the header that do not change the body.
_PLAIN = frozenset({"", "identity", "none", "binary", "utf-8", "8bit", "aws-chunked"})
_GZIP, _DEFLATE = frozenset({"gzip", "x-gzip"}), frozenset({"deflate"})
_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 1024 * 1024


def codings_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The content codings of a body in the order in which they were applied."""
    words = (word.strip().lower() for word in headers.get("content-encoding", "").split(","))
    return tuple(word for word in words if word not in _PLAIN)


def decoded(pieces: Iterator[bytes], codings: tuple[str, ...]) -> Iterator[bytes]:
    """Yield a body without its content codings, in pieces of at most 1 MiB.

    Raises:
        UnreadableEncoding: the coding is not supported, or the body is not encoded in it, or the
            body is truncated.
    """
    if unknown := [coding for coding in codings if coding not in _GZIP | _DEFLATE]:
        raise UnreadableEncoding(
            f"the server sends it encoded as {', '.join(unknown)[:40]}, which is not read"
        )
    for coding in reversed(codings):
        pieces = _inflated(pieces, coding)
    return pieces


def _inflated(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    first = b""
    while len(first) < 2 and (piece := next(pieces, None)) is not None:
        first += piece
    if coding in _GZIP and not first.startswith(_MAGIC):
        # The label was left on a file that is not compressed.
        yield first
        yield from pieces
        return
    inflater, data = zlib.decompressobj(_window_of(first, coding)), first
    try:
        while True:
            while data and not inflater.eof:
                yield inflater.decompress(data, _PIECE_BYTES)
                data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            # gzip may have several members (RFC 1952, section 2.2). Anything else is padding.
            if inflater.eof and not (coding in _GZIP and _MAGIC.startswith(data[:2])):
                return
            if inflater.eof and len(data) >= len(_MAGIC):
                inflater = zlib.decompressobj(_window_of(data, coding))
            elif (piece := next(pieces, None)) is not None:
                data += piece
            else:
                yield inflater.flush()  # zlib may hold back the last bits of raw deflate
                break
    except zlib.error as error:
        raise UnreadableEncoding(
            f"the server says that it is encoded as {coding}, and it is not ({error})"
        ) from error
    if not inflater.eof:
        raise UnreadableEncoding(f"the body, encoded as {coding}, ends before its end")


def _window_of(first: bytes, coding: str) -> int:
    """The window bits for zlib. Some servers send deflate without its zlib header."""
    if coding in _GZIP:
        return 16 + zlib.MAX_WBITS
    wrapped = (
        len(first) >= 2
        and first[0] & 0x0F == zlib.DEFLATED
        and int.from_bytes(first[:2], "big") % 31 == 0
    )
    return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
