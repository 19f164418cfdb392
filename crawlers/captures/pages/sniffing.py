"""Media types of answers by their first bytes (MIME Sniffing Standard, 6.1 and 7.1)."""

from __future__ import annotations

from pathlib import Path

from crawlers.captures.images.image_formats import image_format
from crawlers.captures.pages.charsets import head_in_utf8

HEAD_BYTES = 1_445  # the number of bytes that the standard examines
_TAGS = tuple(
    f"<{tag}".encode()
    for tag in ("!doctype html", "html", "head", "script", "iframe", "h1", "div", "font",
                "table", "a", "style", "title", "b", "body", "br", "p")
)  # fmt: skip
_ICONS = (b"\0\0\1\0", b"\0\0\2\0")
_AFTER_A_TAG = (b" ", b">", b"\n", b"\r", b"\t")
_BINARY = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")  # "binary data bytes" of the standard


def is_unknown(media_type: str) -> bool:
    """Whether a declared media type has no meaning."""
    return "/" not in media_type or media_type in ("unknown/unknown", "application/unknown", "*/*")


def media_type_of(head: bytes) -> str:
    """The media type of the first bytes, "application/octet-stream" if it is not recognised."""
    if name := image_format(head):
        return f"image/{name.lower()}"
    if head.startswith(_ICONS):
        return "image/x-icon"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    text = head_in_utf8(head).removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ").lower()
    if text.startswith(b"<?xml"):
        return "application/xhtml+xml" if b"<html" in text else "text/xml"
    if text.startswith(b"<!--") or any(
        text.startswith(tag) and text[len(tag) : len(tag) + 1] in _AFTER_A_TAG for tag in _TAGS
    ):
        return "text/html"
    # The standard does not recognise JSON, but sites send it to their scripts without a type.
    if text.startswith((b"{", b"[")) and looks_like_text(head):
        return "application/json"
    return "text/plain" if looks_like_text(head) else "application/octet-stream"


def media_type_in(path: Path) -> str:
    """The media type of a file's first bytes."""
    with path.open("rb") as stream:
        return media_type_of(stream.read(HEAD_BYTES))


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes hold no byte that is invalid in texts."""
    return head.startswith((b"\xfe\xff", b"\xff\xfe")) or not _BINARY & set(head)


def is_recognised(head: bytes) -> bool:
    """Whether the first bytes have a known format, so that they have no content coding."""
    return bool(head) and media_type_of(head) not in ("text/plain", "application/octet-stream")
