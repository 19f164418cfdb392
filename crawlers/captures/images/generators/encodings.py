"""Texts in EXIF, decoded by their actual encoding whatever charset they state.

Exif 3.0, 4.6.5: a UserComment begins with eight bytes that name its charset. "UNICODE" names
neither an encoding of Unicode nor a byte order; programs write both orders, UTF-8, and UTF-8 under
the name of ASCII.
"""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any, TypeGuard

_CHARSETS = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0\0\0\0\0\0\0\0")
_CHARSET_BYTES = 8
# Written by the command line of Exiv2.
_EXIV2 = re.compile(r'^charset="?(?:ascii|jis|unicode|undefined)"?\s+', re.IGNORECASE)
_LOOKED_AT = 4_000
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def exif_text(value: Any, order: str = "<") -> str:
    """The text of a value in EXIF, "" if it is none.

    Args:
        order: the byte order of the TIFF structure, "<" or ">"; used if the text does not show its
            own.
    """
    if isinstance(value, str):
        # Pillow reads the type ASCII as Latin-1, although most programs write UTF-8.
        with contextlib.suppress(UnicodeEncodeError):
            value = value.encode("latin-1")
    if isinstance(value, str):
        return value.strip("\0 \n")
    if _are_numbers(value):
        is_narrow = all(number < 256 for number in value)  # numbers of two bytes are UTF-16
        value = bytes(value) if is_narrow else struct.pack(f"{order}{len(value)}H", *value)
    if not isinstance(value, bytes):
        return str(value).strip("\0 \n") if isinstance(value, int | float) else ""
    head = value[:_CHARSET_BYTES].upper()
    charset = head if head in _CHARSETS else None
    text = _decoded(value if charset is None else value[_CHARSET_BYTES:], charset, order)
    text = text.strip("\0 \n\ufeff")
    return _EXIV2.sub("", text, count=1)


def _are_numbers(value: Any) -> TypeGuard[tuple[int, ...]]:
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(isinstance(number, int) and 0 <= number < 65_536 for number in value)
    )


def _decoded(data: bytes, charset: bytes | None, order: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    narrow = data.rstrip(b"\0")
    if (
        b"\0" not in narrow
        and (text := _as(narrow, "utf-8")) is not None
        and b"\x1b$" not in narrow
    ):
        return text
    if b"\0" in narrow or charset == b"UNICODE\0":
        wide = data[: len(data) // 2 * 2]
        ways = ("utf-16-le", "utf-16-be") if order == "<" else ("utf-16-be", "utf-16-le")
        texts = [wide.decode(way, "replace") for way in ways]
        if b"\0" in narrow:
            texts.append(narrow.decode("utf-8", "replace"))
        return max(texts, key=_plain)
    is_jis = charset == b"JIS\0\0\0\0\0"
    for encoding in ("iso2022_jp", "euc_jp", "shift_jis") if is_jis else ("gb18030",):
        if (text := _as(narrow, encoding)) is not None:
            return text
    return narrow.decode("latin-1")


def _as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _plain(text: str) -> float:
    """The share of ASCII characters, less that of control and private characters."""
    looked_at = text[:_LOOKED_AT]
    good = sum(" " <= sign <= "~" or sign in "\n\r\t" for sign in looked_at)
    bad = sum(sign == "\ufffd" or "\ue000" <= sign <= "\uf8ff" or sign < "\t" for sign in looked_at)
    return (good - bad) / max(1, len(looked_at))
