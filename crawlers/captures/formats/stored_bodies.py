"""The meaning of the text of a HAR entry: text, base64, or bytes that are still encoded.

Some tools mark plain text as base64, write base64 without marking it, or store bodies in their
content coding. The content shows which of these it is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
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
_SURELY_BASE64_CHARS = 64  # no text has words of this length
_PAGES = ("text/html", "application/xhtml+xml")
_MARKED, _UNMARKED = ("gzip", "zstd"), ("br", "deflate")
_PACKED = "not read, since its body is packed or no text, and nothing says how it could be read"


@dataclass(frozen=True, slots=True)
class StoredBody:
    """The body of an answer.

    Attributes:
        is_text: whether it was stored as text, and so is UTF-8.
        codings: the content codings that it still has.
        note: a sentence about an irregularity.
        loss: why it is of no use.
    """

    data: bytes
    is_text: bool = False
    codings: tuple[str, ...] = ()
    note: str | None = None
    loss: str | None = None


def stored_body(
    text: str, content: dict[str, Any], media_type: str, stated: list[str]
) -> StoredBody:
    """The bytes for which an entry's text stands.

    Args:
        content: the entry's content, for `encoding` and `size`.
        media_type: the declared media type.
        stated: the content codings that the server named.
    """
    says_base64 = str(content.get("encoding") or "").strip().lower() == "base64"
    for data, odd in _readings(text):
        if _shows(data, media_type, stated):
            unmarked = None if says_base64 else "in base64 and not marked so: read as that"
            return _with_codings(data, media_type, stated, odd or unmarked)
    plain = text.encode("utf-8", "replace")
    meant = _from_base64(text) if says_base64 else None
    if meant is not None:
        is_plain = (
            len(meant) != content.get("size") == len(plain) and len(text) < _SURELY_BASE64_CHARS
        )
        if not is_plain or (media_type.startswith("image/") and media_type != "image/svg+xml"):
            return _with_codings(meant, media_type, stated, None)
    note = "marked as base64 and is plain text: read as that" if says_base64 else None
    if "\ufffd" in text and not _is_text(plain[:HEAD_BYTES]):
        return StoredBody(
            b"", note=note, loss="not read, since it was saved as text although it is none"
        )
    return StoredBody(plain, is_text=True, note=note)


def _from_base64(text: str) -> bytes | None:
    """Decode base64 as browsers do (Infra, "forgiving-base64 decode"), in either alphabet.

    None for anything else.
    """
    digits = re.sub(r"[\t\n\f\r ]+", "", text).replace("-", "+").replace("_", "/")
    digits = re.sub(r"={1,2}$", "", digits) if len(digits) % 4 == 0 else digits
    if len(digits) % 4 == 1 or _NOT_BASE64.search(digits):
        return None
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4))
    except (binascii.Error, ValueError):
        return None


def _readings(text: str) -> list[tuple[bytes, str | None]]:
    """The possible meanings of a text that is not plain, each with a note about irregularities."""
    found: list[tuple[bytes, str | None]] = []
    if text[:5].lower() == "data:" and (inside := data_of(text)) is not None:
        found.append((inside[1], "stored as a data: address: read as that"))
    if (data := _from_base64(text)) is not None:
        found.append((data, None))
    elif not looks_like_text(text[:HEAD_BYTES].encode("utf-8", "replace")):
        note = "stored as text, one sign for each byte: read as that"
        with contextlib.suppress(UnicodeEncodeError):
            found.append((text.encode("latin-1"), note))
    return found


def _shows(data: bytes, media_type: str, stated: list[str]) -> bool:
    """Whether decoded bytes are of the declared media type."""
    kind = media_type_of(_head_of(data, _codings_of(data, media_type, stated)))
    if is_unknown(media_type):
        return kind.startswith("image/") or kind in (*_PAGES, "application/json")
    if media_type.startswith("image/"):
        return kind.startswith("image/") or (media_type == "image/svg+xml" and kind == "text/xml")
    if media_type in _PAGES:
        return kind in (*_PAGES, "text/xml")
    return "json" in media_type and kind == "application/json"


def _with_codings(data: bytes, media_type: str, stated: list[str], note: str | None) -> StoredBody:
    codings = _codings_of(data, media_type, stated)
    if not codings and media_type in _PAGES and not _is_text(data[:HEAD_BYTES]):
        return StoredBody(b"", note=note, loss=_PACKED)
    return StoredBody(data, codings=tuple(codings), note=note)


def _codings_of(data: bytes, media_type: str, stated: list[str]) -> list[str]:
    """The content codings of bytes: those that the server named, else those that they show."""
    head = data[:HEAD_BYTES]
    if stated or is_recognised(head):
        return [] if is_recognised(head) else stated
    is_image = is_unknown(media_type) or media_type.startswith("image/")
    marked: list[str] = []
    if is_image or media_type in _PAGES or media_type.startswith("text/") or "json" in media_type:
        marked = [coding for coding in _MARKED if is_packed_as(coding, head)]
    if is_image:
        # Any bytes may begin like encoded ones, so the content must be recognised as well.
        marked = [coding for coding in marked if is_recognised(_head_of(data, [coding]))]
    if marked or media_type not in _PAGES or _is_text(head):
        return marked
    return [coding for coding in _UNMARKED if is_recognised(_head_of(data, [coding]))][:1]


def _is_text(head: bytes) -> bool:
    return is_recognised(head) or looks_like_text(head)


def _head_of(data: bytes, codings: list[str]) -> bytes:
    """The first bytes without content codings; unchanged if they cannot be decoded."""
    head = b""
    try:
        for piece in unpacked(iter([data]), codings):
            head += piece
            if len(head) >= HEAD_BYTES:
                break
    except CannotUnpack:
        head = head or data
    return head[:HEAD_BYTES]
