"""The style sheets of a page: its style elements, linked sheets and their imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawlers.captures.pages.addresses import data_of, joined
from crawlers.captures.pages.charsets import plain_text
from crawlers.captures.pages.resources import Resources
from crawlers.captures.pages.styles import imported_urls

_MOST_SHEET_BYTES = 8_000_000
_DEEPEST_IMPORTS = 5


def sheets_of(root: Any, base: str, resources: Resources) -> tuple[list[tuple[str, str]], int]:
    """The text and address of each style sheet in the capture, each address once.

    Returns:
        The sheets, and the number of imports that are nested more deeply than the limit.
    """
    seen: set[int] = set()
    level = [("".join(style.itertext()), base) for style in root.iter("style")]
    for link in root.iter("link"):
        if "stylesheet" in (link.get("rel") or "").lower():
            level += _sheet(link.get("href") or "", base, resources, seen)
    found = list(level)
    for _ in range(_DEEPEST_IMPORTS):
        level = list(_imported(level, resources, seen))
        found += level
    return found, sum(1 for _ in _imported(level, resources, seen))


def _imported(
    sheets: list[tuple[str, str]], resources: Resources, seen: set[int]
) -> Iterator[tuple[str, str]]:
    for text, place in sheets:
        for url in imported_urls(text):
            yield from _sheet(url, place, resources, seen)


def _sheet(
    place: str, base: str, resources: Resources, seen: set[int]
) -> Iterator[tuple[str, str]]:
    if place.lstrip()[:5].lower() == "data:":
        data = data_of(place.strip())
        if data is not None and data[0] == "text/css" and len(data[1]) <= _MOST_SHEET_BYTES:
            yield plain_text(data[1]), base
        return
    url = joined(base, place)
    sheet = resources.find(url) if url else None
    if sheet is None or sheet.size_bytes > _MOST_SHEET_BYTES or sheet.number in seen:
        return
    seen.add(sheet.number)
    yield plain_text(sheet.read(), sheet.charset), sheet.url
