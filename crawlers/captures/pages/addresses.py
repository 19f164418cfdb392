"""Addresses in captured pages, handled as in browsers: joining, comparison, srcset, data: URLs.

Sources: URL Standard (WHATWG) 4.4; RFC 3986 6.2.2 and 6.2.3; HTML Standard 4.8.4.2.2 (srcset);
Fetch Standard 6 (data: URLs).
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

import httpx

SAVED = "saved:"  # scheme for files of a saved page: saved:///page_files/1.jpg
_SPACE = "\t\n\f\r "  # ASCII whitespace of the HTML Standard
_SPACES = re.compile(f"[{_SPACE}]")
_CONTROLS_AND_SPACE = "".join(map(chr, range(0x21)))
_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# Crawlers and browsers escape these differently; a server rarely distinguishes the forms.
_ESCAPED_BY_SOME = frozenset("!$'()*,:;@[]^`{|}\\")
_ANY_FORM = "in any form:"  # such a key only counts if no address has the exact key
_MOST_DATA_CHARS = 90_000_000
_MOST_HEADER_CHARS = 1_000
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")


def joined(base: str, place: str) -> str | None:
    """Resolve an address within a page; None if it is invalid."""
    place = re.sub(r"[\t\n\r]", "", place.strip(_CONTROLS_AND_SPACE))
    head, mark, tail = _cut(place)
    if not re.match(r"[a-zA-Z][\w+.-]*:", head) or head[:4].lower() == "http":
        place = head.replace("\\", "/") + mark + tail
    try:
        if not base.startswith(SAVED):
            return urljoin(base, place)
        # urllib only joins schemes that it knows.
        found = urljoin(f"http:{base.removeprefix(SAVED)}", place)
    except ValueError:
        return None
    return SAVED + found.removeprefix("http:") if found.startswith("http:///") else found


def keys_of(url: str) -> tuple[str, ...]:
    """The keys under which equal addresses are found, the exact one first; without fragments.

    Letter case of scheme and host, default ports, dot segments and escapes of unreserved characters
    are normalised. The second key also normalises escapes that programs write differently, and
    the Unicode form of names of saved files. Queries of saved files are dropped. A cid: address
    names a part by its Content-ID, percent-encoded (RFC 2392); mail programs change its case.
    """
    if url[:4].lower() == "cid:":
        name = unquote(url[4:]).strip().strip("<>")
        return (f"cid:{name}", f"CID:{name.casefold()}")
    url = url.strip(_CONTROLS_AND_SPACE).partition("#")[0]
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if f"{scheme}:" == SAVED:
        path = unquote_to_bytes(rest.partition("?")[0]).decode("utf-8", "surrogateescape")
        return (SAVED + path, f"{_ANY_FORM} {SAVED}{unicodedata.normalize('NFC', path)}")
    if scheme not in ("http", "https"):
        return (url,)
    try:
        parsed = httpx.URL(scheme + colon + _ESCAPED.sub(_plainer, rest))
        if not parsed.path.strip("/"):
            parsed = parsed.copy_with(path="/")
    except (httpx.InvalidURL, ValueError, UnicodeError):
        return (url,)
    exact = _ESCAPED.sub(_plainer, str(parsed))
    return (exact, f"{_ANY_FORM} {_ESCAPED.sub(_plainest, exact)}")


def _plainer(escaped: re.Match[str]) -> str:
    sign = chr(int(escaped[1], 16))
    return sign if sign in _UNRESERVED else escaped[0].upper()


def _plainest(escaped: re.Match[str]) -> str:
    sign = chr(int(escaped[1], 16))
    return sign if sign in _ESCAPED_BY_SOME else escaped[0]


def _cut(place: str) -> tuple[str, str, str]:
    """Split an address before its query or fragment."""
    at = min((at for at in (place.find("?"), place.find("#")) if at >= 0), default=len(place))
    return place[:at], place[at : at + 1], place[at + 1 :]


def is_web(url: str) -> bool:
    """Whether an address has the scheme http or https, in any letter case."""
    return url[:8].lower().startswith(("http://", "https://"))


def host_of(url: str) -> str:
    """The host of an address in lower case, "" if the address is invalid."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def data_of(place: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a data: address; None if it is none."""
    head, comma, body = place[5:].partition(",")
    if place[:5].lower() != "data:" or not comma:
        return None
    if len(head) > _MOST_HEADER_CHARS or len(place) > _MOST_DATA_CHARS:
        return None
    media_type = head.partition(";")[0].strip(_SPACE).lower()
    data = unquote_to_bytes(body.partition("#")[0])
    if re.search(r"; *base64[ ]*$", head, re.IGNORECASE):
        packed = re.sub(rb"[\t\n\f\r ]+", b"", data).rstrip(b"=")
        try:
            data = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
    return media_type if "/" in media_type else "text/plain", data


def srcset_of(text: str) -> list[str]:
    """The addresses in a srcset attribute, the largest picture first.

    Implements "parse a srcset attribute" of the HTML Standard.
    """
    found: list[tuple[float, str]] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in _SPACE + ",":
            at += 1
        if at >= end:
            break
        space = _SPACES.search(text, at)
        url, at = text[at : space.start() if space else end], space.start() if space else end
        descriptors: list[str] = []
        if url.endswith(","):
            url = url.rstrip(",")
        else:
            descriptors, at = _descriptors(text, at)
        size = _size(descriptors)
        if size is not None:
            found.append((size, url))
    return [url for _, url in sorted(found, key=lambda candidate: -candidate[0])]


def _descriptors(text: str, at: int) -> tuple[list[str], int]:
    """The descriptors at an offset, and the next candidate's offset; parentheses hide commas."""
    found, current, inside = [], "", False
    while at < len(text):
        sign = text[at]
        at += 1
        if inside:
            current += sign
            inside = sign != ")"
        elif sign == ",":
            break
        elif sign in _SPACE:
            found += [current] if current else []
            current = ""
        else:
            current += sign
            inside = sign == "("
    return [*found, *([current] if current else [])], at


def _size(descriptors: list[str]) -> float | None:
    """The width or density of a candidate; None if its descriptors are invalid."""
    widths: list[float] = []
    densities: list[float] = []
    heights: list[float] = []
    for descriptor in descriptors:
        number, unit = descriptor[:-1], descriptor[-1]
        if unit in "wh" and number.isascii() and number.isdigit() and int(number[:9]) > 0:
            (widths if unit == "w" else heights).append(float(number[:9]))
        elif unit == "x" and _NUMBER.fullmatch(number) and not number.startswith("-"):
            densities.append(float(number))
        else:
            return None
    if max(len(widths), len(densities), len(heights)) > 1:
        return None
    if densities and (widths or heights):
        return None
    if heights and not widths:
        return None
    return (widths or densities or [1.0])[0]
