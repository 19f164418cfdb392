"""Addresses of images in style sheets and style attributes, and custom properties that stand for them.

Tokens as in CSS Syntax Level 3 (url-token, string-token, escapes); every pattern looks at each sign once.
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
# CSS Images Level 4, 2.4: candidates are url() or a string, each with a resolution and a type(); an old prefix is as common.
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
    """Each image that a style names by url() or image-set(): its addresses, that of the finest one first."""
    at = 0
    while found := _IMAGE.search(style, at):
        addresses, at = _candidates(style, found)
        if addresses:
            yield addresses


def style_urls(style: str) -> Iterator[str]:
    """Every address that a style names, of images and of style sheets."""
    yield from itertools.chain(imported_urls(style), *style_images(style))


def imported_urls(style: str) -> Iterator[str]:
    """Addresses of the style sheets that a style sheet imports."""
    for found in _IMPORT.finditer(style):
        if address := _address(*found.groups()):
            yield address


def custom_urls(style: str) -> dict[str, str]:
    """Custom properties of a style sheet that stand for an image, and its address: `--name: url(...)`."""
    found: dict[str, str] = {}
    at = 0
    while name := _PROPERTY.search(style, at):
        at = name.end()
        if image := _IMAGE.match(style, at):
            addresses, at = _candidates(style, image)
            found[name[1]] = next(iter(addresses), "")
    return found


def _candidates(style: str, image: re.Match[str]) -> tuple[list[str], int]:
    """The addresses of one image, and where it ends."""
    if not _SET.fullmatch(image[0]):
        address = _address(*image.groups())
        return [address] if address else [], image.end()
    found: list[tuple[float, str]] = []
    at, depth = image.end(), 1
    while depth and (token := _IN_SET.search(style, at)):
        at = token.end()
        if token[6]:
            with contextlib.suppress(ValueError):
                found[-1:] = [
                    (float(token[6]) * _DOTS_PER_X[token[7].lower()], one) for _, one in found[-1:]
                ]
        elif token[8]:
            depth += 1 if token[8] == "(" else -1
        elif address := _address(*token.groups()[:5]):
            found.append((1.0, address))
    return [address for _, address in sorted(found, key=lambda one: -one[0])], at


def custom_properties(style: str) -> Iterator[str]:
    """Names of the custom properties that a style uses: `var(--name)`."""
    for found in _USE.finditer(style):
        yield found[1]


def _address(*quoted: str | None) -> str:
    told = next((one for one in quoted if one is not None), "")
    return _ESCAPE.sub(_sign, told).strip() if "\\" in told else told.strip()


def _sign(escape: re.Match[str]) -> str:
    if escape[1]:
        code = int(escape[1], 16)
        return (
            chr(code)
            if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000
            else "\N{REPLACEMENT CHARACTER}"
        )
    return "" if escape[2] else escape[3]
