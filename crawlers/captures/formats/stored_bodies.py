"""What the text of a HAR entry stands for: text, base64, or bytes that are still packed.

Tools write plain text and say base64, write base64 and do not say so, and store bodies as they
came over the wire. What a body is tells which.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from crawlers.captures.formats.unpacking import CannotUnpack, is_packed_as, unpacked
from crawlers.captures.pages.addresses import data_of
from crawlers.captures.pages.sniffing import (
    HEAD_BYTES,
    is_recognised,
    is_unknown,
    looks_like_text,
    media_type_of,
)

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_SURELY_BASE64_CHARS = 64  # no words are that long without a space between them
_PAGES = ("text/html", "application/xhtml+xml")
_MARKED, _UNMARKED = ("gzip", "zstd"), ("br", "deflate")
_PACKED = "not read, since its body is packed or no text, and nothing says how it could be read"


@dataclass(frozen=True, slots=True)
class StoredBody:
    """The bytes of an answer.

    Attributes:
        is_text: they were stored as text, and are UTF-8.
        codings: what they are still packed as.
        note: what was odd about them.
        loss: why they are of no use.
    """

    data: bytes
    is_text: bool = False
    codings: tuple[str, ...] = ()
    note: str | None = None
    loss: str | None = None


def stored_body(text: str, content: dict[str, Any], media_type: str, told: list[str]) -> StoredBody:
    """The bytes that an entry's text stands for.

    Args:
        content: the entry's content, for `encoding` and `size`.
        media_type: as declared.
        told: the content codings that its server named.
    """
    says_base64 = str(content.get("encoding") or "").strip().lower() == "base64"
    for data, odd in _readings(text):
        if _shows(data, media_type, told):
            unmarked = None if says_base64 else "in base64 and not marked so: read as that"
            return _unpacking(data, media_type, told, odd or unmarked)
    plain = text.encode("utf-8", "replace")
    meant = _from_base64(text) if says_base64 else None
    if meant is not None:
        is_plain = (
            len(meant) != content.get("size") == len(plain) and len(text) < _SURELY_BASE64_CHARS
        )
        if not is_plain or (media_type.startswith("image/") and media_type != "image/svg+xml"):
            return _unpacking(meant, media_type, told, None)
    note = "marked as base64 and is plain text: read as that" if says_base64 else None
    if "\ufffd" in text and not _is_text(plain[:HEAD_BYTES]):
        return StoredBody(
            b"", note=note, loss="not read, since it was saved as text although it is none"
        )
    return StoredBody(plain, is_text=True, note=note)


def _from_base64(text: str) -> bytes | None:
    """Bytes of base64 as browsers read it (Infra, "forgiving-base64 decode"), in either alphabet.

    None for anything else.
    """
    told = re.sub(r"[\t\n\f\r ]+", "", text).replace("-", "+").replace("_", "/")
    told = re.sub(r"={1,2}$", "", told) if len(told) % 4 == 0 else told
    if len(told) % 4 == 1 or _NOT_BASE64.search(told):
        return None
    try:
        return base64.b64decode(told + "=" * (-len(told) % 4))
    except (binascii.Error, ValueError):
        return None


def _readings(text: str) -> list[tuple[bytes, str | None]]:
    """What a text that is not plain may stand for, with what is odd about that."""
    found: list[tuple[bytes, str | None]] = []
    if text[:5].lower() == "data:" and (inside := data_of(text)) is not None:
        found.append((inside[1], "stored as a data: address: read as that"))
    if (data := _from_base64(text)) is not None:
        found.append((data, None))
    elif not looks_like_text(text[:HEAD_BYTES].encode("utf-8", "replace")):
        try:
            found.append(
                (text.encode("latin-1"), "stored as text, one sign for each byte: read as that")
            )
        except UnicodeEncodeError:
            return found
    return found


def _shows(data: bytes, media_type: str, told: list[str]) -> bool:
    """Whether bytes are what the media type says, once they are unpacked."""
    kind = media_type_of(_head_of(data, _codings_of(data, media_type, told)))
    if is_unknown(media_type):
        return kind.startswith("image/") or kind in (*_PAGES, "application/json")
    if media_type.startswith("image/"):
        return kind.startswith("image/") or (media_type == "image/svg+xml" and kind == "text/xml")
    if media_type in _PAGES:
        return kind in (*_PAGES, "text/xml")
    return "json" in media_type and kind == "application/json"


def _unpacking(data: bytes, media_type: str, told: list[str], note: str | None) -> StoredBody:
    codings = _codings_of(data, media_type, told)
    if not codings and media_type in _PAGES and not _is_text(data[:HEAD_BYTES]):
        return StoredBody(b"", note=note, loss=_PACKED)
    return StoredBody(data, codings=tuple(codings), note=note)


def _codings_of(data: bytes, media_type: str, told: list[str]) -> list[str]:
    """How bytes are packed: as their server said, or as they show where it said nothing."""
    head = data[:HEAD_BYTES]
    if told or is_recognised(head):
        return [] if is_recognised(head) else told
    is_shown = (
        is_unknown(media_type) or media_type in _PAGES or media_type.startswith(("text/", "image/"))
    )
    marked = (
        [one for one in _MARKED if is_packed_as(one, head)]
        if is_shown or "json" in media_type
        else []
    )
    if is_unknown(media_type) or media_type.startswith("image/"):
        # Any two bytes may begin as a packed body does: what is in it must be an image.
        marked = [one for one in marked if is_recognised(_head_of(data, [one]))]
    if marked or media_type not in _PAGES or _is_text(head):
        return marked
    return [coding for coding in _UNMARKED if is_recognised(_head_of(data, [coding]))][:1]


def _is_text(head: bytes) -> bool:
    return is_recognised(head) or looks_like_text(head)


def _head_of(data: bytes, codings: list[str]) -> bytes:
    """The first bytes without their content codings; as they are where they cannot be unpacked."""
    head = b""
    try:
        for piece in unpacked(iter([data]), codings):
            head += piece
            if len(head) >= HEAD_BYTES:
                break
    except CannotUnpack:
        head = head or data
    return head[:HEAD_BYTES]
