"""Distinction of pages from the HTML answers of frames and scripts in a capture."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from crawlers.captures.pages.addresses import joined
from crawlers.captures.pages.html import decoded, tree_of
from crawlers.captures.pages.resources import Resource, Resources

# Fetch Metadata: the destination of a request according to the browser.
_DOCUMENT = "document"


def pages_in(resources: Resources, among: Sequence[Resource] | None = None) -> list[Resource]:
    """The pages that a person opened, each address once; every HTML answer if that is unknown."""
    answers = resources.all if among is None else among
    found = [
        answer for answer in answers if answer.is_page and answer.status == 200 and answer.stands
    ]
    frames = _Frames(found, resources)
    own = [answer for answer in found if not frames.has(answer)] or found
    return list({answer.url: answer for answer in reversed(own)}.values())[::-1]


class _Frames:
    """The addresses that each page embeds, read once."""

    def __init__(self, pages: Sequence[Resource], resources: Resources) -> None:
        self._resources = resources
        self._inside: dict[str, set[str]] = {}
        for page in pages if len(pages) > 1 else ():
            self._inside.setdefault(_plain(page.url), set()).update(self._embedded(page))
        self._around: dict[str, list[str]] = {}
        for around, inside in self._inside.items():
            for url in inside - {around}:
                self._around.setdefault(url, []).append(around)

    def has(self, answer: Resource) -> bool:
        """Whether an answer is part of another page, by its request or because a page embeds it.

        If two pages embed each other, the one that requested the other is the page.
        """
        if answer.asked_for:
            return answer.asked_for != _DOCUMENT
        url, asker = _plain(answer.url), _plain(answer.referrer or "")
        # Browsers send other hosts no more than the origin of the page.
        return any(
            around not in self._inside[url] or asker in (around, f"{_origin(around)}/")
            for around in self._around.get(url, ())
        )

    def _embedded(self, page: Resource) -> set[str]:
        root = tree_of(decoded(page))
        base = joined(page.base or page.url, (root.xpath("//base/@href") or [""])[0]) or page.url
        places = root.xpath("//iframe/@src | //frame/@src | //embed/@src | //object/@data")
        urls = [joined(base, place.strip()) for place in places]
        found = [self._resources.find(url) for url in urls if url]
        return {_plain(answer.url) for answer in found if answer is not None}


def _plain(url: str) -> str:
    return url.partition("#")[0]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
