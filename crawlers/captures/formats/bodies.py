"""The bodies of answers, decoded from the form in which a capture stores them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from crawlers.captures.formats.unpacking import (
    CannotUnpack,
    UnknownCoding,
    is_packed_as,
    pieces_of,
    unpacked,
)
from crawlers.captures.pages.resources import Body, Resources
from crawlers.captures.pages.sniffing import HEAD_BYTES, is_recognised, looks_like_text


def body_of(
    pieces: Iterator[bytes], codings: Sequence[str], url: str, resources: Resources
) -> tuple[Body, bool]:
    """Decode the content codings of a body, and say whether the body is complete.

    Many archives store a body decoded and keep the header of its coding; such a body is taken as it
    is. A body that cannot be decoded stays empty and gets a note, because encoded bytes are neither
    text nor an image.
    """
    body = resources.body()
    if not codings:
        return body, _write(body, pieces, url, resources)
    with tempfile.TemporaryFile(dir=resources.folder) as stored:
        complete = _store(stored, pieces, resources.limits.resource_bytes)
        stored.seek(0)
        head = stored.read(HEAD_BYTES)
        stored.seek(0)
        stands = not head or is_recognised(head) or looks_like_text(head)
        if stands and is_packed_as(codings[-1], head) is False:
            return body, _write(body, pieces_of(stored), url, resources) and complete
        try:
            whole = _write_or_raise(body, unpacked(pieces_of(stored), list(codings)))
        except CannotUnpack as problem:
            if stands:
                stored.seek(0)
                body.empty()
                return body, _write(body, pieces_of(stored), url, resources) and complete
            if isinstance(problem, UnknownCoding) or not body.size_bytes:
                resources.miss(f"not read, since its body cannot be unpacked ({problem})", url)
            else:
                resources.note(f"read in part only, since its body is broken ({problem})", url)
            return body, False
        return body, whole and complete


def _write(body: Body, pieces: Iterator[bytes], url: str, resources: Resources) -> bool:
    try:
        return _write_or_raise(body, pieces)
    except CannotUnpack as problem:
        resources.note(f"read in part only, since its body is broken ({problem})", url)
        return False


def _write_or_raise(body: Body, pieces: Iterator[bytes]) -> bool:
    return all(body.write(piece) for piece in pieces)


def _store(stored: IO[bytes], pieces: Iterator[bytes], most_bytes: int) -> bool:
    """Store bytes unchanged, and return whether they are complete."""
    size = 0
    try:
        for piece in pieces:
            size += stored.write(piece)
            if size > most_bytes:
                return False
    except CannotUnpack:
        return False
    return True
