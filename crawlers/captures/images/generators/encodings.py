"""Texts in EXIF: their bytes in whatever encoding they are really in, whatever their charset says.

Exif 3.0, 4.6.5: a UserComment begins with eight bytes that name its charset. "UNICODE" does not say which of
the encodings of Unicode, nor which byte order; programs write both orders, UTF-8, and UTF-8 under the name of
ASCII.
"""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any

_CHARSETS = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0\0\0\0\0\0\0\0")
_CHARSET_BYTES = 8
_EXIV2 = re.compile(
    r'^charset="?(?:ascii|jis|unicode|undefined)"?\s+', re.IGNORECASE
)  # as its command line has it
_LOOKED_AT = 4_000
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def exif_text(value: Any, order: str = "<") -> str:
    """The text that a value of EXIF is, "" for none.

    Args:
        order: of the TIFF structure it stands in, "<" or ">"; counts where the text itself does not show its own.
    """
    if isinstance(value, str):
        # Pillow reads the type ASCII as Latin-1; most of what is written under it is UTF-8.
        with contextlib.suppress(UnicodeEncodeError):
            value = value.encode("latin-1")
    if isinstance(value, str):
        return value.strip("\0 \n")
    if (
        isinstance(value, tuple)
        and value
        and all(isinstance(one, int) and 0 <= one < 65_536 for one in value)
    ):
        is_narrow = all(one < 256 for one in value)  # numbers of two bytes are UTF-16's
        value = bytes(value) if is_narrow else struct.pack(f"{order}{len(value)}H", *value)
    if not isinstance(value, bytes):
        return str(value).strip("\0 \n") if isinstance(value, int | float) else ""
    charset = next((one for one in _CHARSETS if value[:_CHARSET_BYTES].upper() == one), None)
    text = _decoded(value if charset is None else value[_CHARSET_BYTES:], charset, order).strip(
        "\0 \n\ufeff"
    )
    return _EXIV2.sub("", text, count=1)


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
    for encoding in (
        ("iso2022_jp", "euc_jp", "shift_jis") if charset == b"JIS\0\0\0\0\0" else ("gb18030",)
    ):
        if (text := _as(narrow, encoding)) is not None:
            return text
    return narrow.decode("latin-1")


def _as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _plain(text: str) -> float:
    """How much of it is characters that texts are full of (ASCII's), less those that stand for nothing."""
    looked_at = text[:_LOOKED_AT]
    good = sum(" " <= sign <= "~" or sign in "\n\r\t" for sign in looked_at)
    bad = sum(sign == "\ufffd" or "\ue000" <= sign <= "\uf8ff" or sign < "\t" for sign in looked_at)
    return (good - bad) / max(1, len(looked_at))
