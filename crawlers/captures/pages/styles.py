"""Addresses of images in style sheets and style attributes, also behind custom properties.

Tokens follow CSS Syntax Level 3 (url-token, string-token, escapes). Every pattern visits each
character once.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

_URL = (
    r"url\(\s*+(?:\"([^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+)\"|'([^'\\\n]*+(?:\\.[^'\\\n]*+)*+)'"
    r"|([^\"'()\\\s]*+(?:\\(?:[0-9a-f]{1,6}+\s?+|.)[^\"'()\\\s]*+)*+))\s*+\)"
)
_STRING = r"\"([^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+)\"|'([^'\\\n]*+(?:\\.[^'\\\n]*+)*+)'"
_ADDRESS = re.compile(_URL, re.IGNORECASE | re.DOTALL)
_IMPORT = re.compile(rf"@import\s*+(?:{_URL}|{_STRING})", re.IGNORECASE | re.DOTALL)
# CSS Images Level 4, 2.4: candidates are url() or a string, with a resolution and a type(). The old
# prefix is still common.
_SET = re.compile(r"(?:-webkit-)?image-set\(", re.IGNORECASE)
_TYPE = r"type\(\s*+(?:\"[^\"\n]*+\"|'[^'\n]*+')?+\s*+\)"
_IN_SET = re.compile(
    rf"{_TYPE}|{_URL}|{_STRING}|([\d.]++)(x|dppx|dpi|dpcm)\b|([()])", re.IGNORECASE | re.DOTALL
)
_IMAGE = re.compile(rf"{_SET.pattern}|{_URL}", re.IGNORECASE | re.DOTALL)
_DOTS_PER_X = {"x": 1.0, "dppx": 1.0, "dpi": 1 / 96, "dpcm": 2.54 / 96}
_PROPERTY = re.compile(rf"(--[\w-]{{1,100}})\s*+:\s*+(?={_SET.pattern}|url\()", re.IGNORECASE)
_USE = re.compile(r"var\(\s*+(--[\w-]{1,100})", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n\f\r]?|(\n)|(.))", re.DOTALL)


def style_images(style: str) -> Iterator[list[str]]:
    """Yield the addresses of each image in url() or image-set(), the highest resolution first."""
    at = 0
    while found := _IMAGE.search(style, at):
        addresses, at = _candidates(style, found)
        if addresses:
            yield addresses


def style_urls(style: str) -> Iterator[str]:
    """Yield every address in a style: of images and of imported style sheets."""
    yield from itertools.chain(imported_urls(style), *style_images(style))


def imported_urls(style: str) -> Iterator[str]:
    """Yield the addresses of imported style sheets."""
    for found in _IMPORT.finditer(style):
        if address := _address(*found.groups()):
            yield address


def custom_urls(style: str) -> dict[str, str]:
    """The custom properties of a style sheet whose value is an image: `--name: url(...)`."""
    found: dict[str, str] = {}
    at = 0
    while name := _PROPERTY.search(style, at):
        at = name.end()
        if image := _IMAGE.match(style, at):
            addresses, at = _candidates(style, image)
            found[name[1]] = next(iter(addresses), "")
    return found


def _candidates(style: str, image: re.Match[str]) -> tuple[list[str], int]:
    """The addresses of one image, and the offset behind it."""
    if not _SET.fullmatch(image[0]):
        address = _address(*image.groups())
        return [address] if address else [], image.end()
    found: list[tuple[float, str]] = []
    at, depth = image.end(), 1
    while depth and (token := _IN_SET.search(style, at)):
        at = token.end()
        if token[6]:
            with contextlib.suppress(ValueError):
                resolution = float(token[6]) * _DOTS_PER_X[token[7].lower()]
                found[-1:] = [(resolution, address) for _, address in found[-1:]]
        elif token[8]:
            depth += 1 if token[8] == "(" else -1
        elif address := _address(*token.groups()[:5]):
            found.append((1.0, address))
    return [address for _, address in sorted(found, key=lambda candidate: -candidate[0])], at


def custom_properties(style: str) -> Iterator[str]:
    """Yield the names of the custom properties in a style: `var(--name)`."""
    for found in _USE.finditer(style):
        yield found[1]


def _address(*quoted: str | None) -> str:
    text = next((match for match in quoted if match is not None), "")
    return _ESCAPE.sub(_sign, text).strip() if "\\" in text else text.strip()


def _sign(escape: re.Match[str]) -> str:
    if escape[1]:
        code = int(escape[1], 16)
        is_valid = 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000
        return chr(code) if is_valid else "\N{REPLACEMENT CHARACTER}"
    return "" if escape[2] else escape[3]
