"""Addresses of images in style sheets and style attributes, and custom properties that stand for them.

Tokens as in CSS Syntax Level 3 (url-token, string-token, escapes); every pattern looks at each sign once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_URL = (
    r"url\(\s*+(?:\"([^\"\\\n]*+(?:\\.[^\"\\\n]*+)*+)\"|'([^'\\\n]*+(?:\\.[^'\\\n]*+)*+)'"
    r"|([^\"'()\\\s]*+(?:\\(?:[0-9a-f]{1,6}+\s?+|.)[^\"'()\\\s]*+)*+))\s*+\)"
)
_ADDRESS = re.compile(_URL, re.IGNORECASE | re.DOTALL)
_PROPERTY = re.compile(r"(--[\w-]{1,100})\s*+:\s*+" + _URL, re.IGNORECASE | re.DOTALL)
_USE = re.compile(r"var\(\s*+(--[\w-]{1,100})", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n\f\r]?|(\n)|(.))", re.DOTALL)


def style_urls(style: str) -> Iterator[str]:
    """Addresses that a style names by url()."""
    for found in _ADDRESS.finditer(style):
        if address := _address(found[1], found[2], found[3]):
            yield address


def custom_urls(style: str) -> dict[str, str]:
    """Custom properties of a style sheet that stand for an address: `--name: url(...)`."""
    return {found[1]: _address(found[2], found[3], found[4]) for found in _PROPERTY.finditer(style)}


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
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\N{REPLACEMENT CHARACTER}"
    return "" if escape[2] else escape[3]
