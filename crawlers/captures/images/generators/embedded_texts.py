"""All texts in an image file: chunks, EXIF, XMP, comments, and texts hidden in its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from crawlers.captures.images.generators.encodings import exif_text
from crawlers.captures.images.generators.hidden_texts import HiddenTextUnreadable, hidden_text

MOST_CHARS = 4_000_000
# Pillow refuses PNGs with a compressed text over 1 MB, so a long workflow would hide the picture.
PngImagePlugin.MAX_TEXT_CHUNK = 2 * MOST_CHARS
HIDDEN = "hidden in its pixels"
_XMP = ("xmp", "XML:com.adobe.xmp")
_NO_TEXT = frozenset({"exif", "icc_profile", "photoshop", "mpf", "adobe", "jfif"})
_LOSSLESS_WEBP = b"VP8L"


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Texts by the places where they are stored.

    Attributes:
        chunks: texts of PNG, GIF and JPEG by their names, and a text hidden in the pixels.
        exif: texts by the names of their tags.
        xmp: the packet, "" without one.
        problems: sentences about texts that could not be read.
    """

    chunks: dict[str, str]
    exif: dict[str, str]
    xmp: str
    problems: tuple[str, ...]


def texts_of(picture: Image.Image, data: bytes) -> EmbeddedTexts:
    """Read all texts of a picture that was opened from these bytes."""
    problems: list[str] = []
    is_whole = _loaded(picture, problems)
    chunks, xmp = _chunks(picture, problems, is_whole=is_whole)
    exif: dict[str, str] = {}
    try:
        for name, text in _exif(picture) if is_whole or "exif" in picture.info else ():
            exif[name if name not in exif else f"{name} once more"] = text
    except Exception as error:  # Pillow raises anything at damaged EXIF
        problems.append(f"its EXIF is damaged ({type(error).__name__})")
    try:
        if is_whole and _is_lossless(data) and (hidden := hidden_text(picture)) is not None:
            chunks[HIDDEN] = hidden
    except HiddenTextUnreadable as error:
        problems.append(str(error))
    except Exception as error:  # and anything at damaged pixels
        problems.append(
            f"its pixels, and texts hidden in them, cannot be read ({type(error).__name__})"
        )
    return EmbeddedTexts(chunks, exif, xmp, tuple(problems))


def _loaded(picture: Image.Image, problems: list[str]) -> bool:
    """Read a PNG to its end, as texts may follow the pixels; False if its pixels are damaged."""
    if isinstance(picture, PngImagePlugin.PngImageFile):
        try:
            picture.load()
        except Exception as error:  # Pillow raises anything at damaged pixels
            problems.append(
                f"its pixels, and texts behind them, cannot be read ({type(error).__name__})"
            )
            return False
    return True


def _is_lossless(data: bytes) -> bool:
    """Whether the lowest bits of pixels are kept, so that a text can be hidden in them."""
    return data.startswith(b"\x89PNG") or (
        data.startswith(b"RIFF") and _LOSSLESS_WEBP in data[:4_096]
    )


def _chunks(
    picture: Image.Image, problems: list[str], *, is_whole: bool
) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    xmp = ""
    known: dict[Any, Any] = dict(picture.info)
    if isinstance(picture, PngImagePlugin.PngImageFile) and is_whole:
        known = {**picture.text, **known}
    for name, value in known.items():
        is_text = isinstance(value, str | bytes) and name not in _NO_TEXT
        if not is_text or str(name).startswith("Raw profile"):
            continue
        text = _chunk(value)
        if len(text) > MOST_CHARS:
            problems.append(
                f"its text {str(name)[:40]} has {len(text):,} characters; "
                f"no more than {MOST_CHARS:,} are read"
            )
        elif name in _XMP:
            xmp = text
        else:
            found[str(name)] = text
    return found, xmp


def _chunk(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, PngImagePlugin.iTXt):
        return str(value)
    # A tEXt chunk is Latin-1 by PNG's specification, but generators write UTF-8.
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _exif(picture: Image.Image) -> Iterator[tuple[str, str]]:
    found = picture.getexif()
    order = getattr(found, "endian", None) or "<"
    for directory in (found, found.get_ifd(ExifTags.IFD.Exif)):
        for tag, value in directory.items():
            if isinstance(value, str | bytes | tuple | int | float) and (
                text := exif_text(value, order)
            ):
                yield ExifTags.TAGS.get(tag, str(tag)), text[:MOST_CHARS]


def prefixed(text: str) -> str:
    """A text without the prefix that ComfyUI writes into EXIF before JSON, such as `Prompt:`."""
    found = re.match(r"\s*[A-Za-z_]{2,40}\s*:\s*(?=[{\[])", text)
    return text[found.end() :] if found else text.strip()
