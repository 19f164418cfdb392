"""Which HTML answers of a capture are pages, and which are frames or were fetched by scripts."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from crawlers.saved.addresses import joined
from crawlers.saved.html import decoded, tree_of
from crawlers.saved.page import Resource, Resources

# Fetch Metadata: what browsers say they ask for.
_DOCUMENT = "document"


def pages_in(resources: Resources, among: Sequence[Resource] | None = None) -> list[Resource]:
    """The pages that somebody opened, each address once; every HTML answer where nobody says more."""
    answers = resources.all if among is None else among
    found = [one for one in answers if one.is_page and one.status == 200 and one.stands]
    frames = _Frames(found, resources)
    own = [one for one in found if not frames.has(one)] or found
    return list({one.url: one for one in reversed(own)}.values())[::-1]


class _Frames:
    """What each page embeds, read once."""

    def __init__(self, pages: Sequence[Resource], resources: Resources) -> None:
        self._resources = resources
        self._inside: dict[int, set[int]] = {}
        self._pages: dict[str, list[Resource]] = {}
        for page in pages:
            self._pages.setdefault(_plain(page.url), []).append(page)
            # Browsers tell other hosts no more than the host of the page.
            self._pages.setdefault(f"{_origin(page.url)}/", []).append(page)

    def has(self, one: Resource) -> bool:
        """Whether its request says that it is a part of a page, else whether the page that asked does."""
        if one.asked_for:
            return one.asked_for != _DOCUMENT
        askers = self._pages.get(_plain(one.referrer), []) if one.referrer else []
        return any(one.number in self._embedded(page) for page in askers if page.url != one.url)

    def _embedded(self, page: Resource) -> set[int]:
        if page.number not in self._inside:
            root = tree_of(decoded(page))
            base = joined(page.base or page.url, (root.xpath("//base/@href") or [""])[0]) or page.url
            places = root.xpath("//iframe/@src | //frame/@src | //embed/@src | //object/@data")
            urls = [joined(base, place.strip()) for place in places]
            found = [self._resources.find(url) for url in urls if url]
            self._inside[page.number] = {one.number for one in found if one is not None}
        return self._inside[page.number]


def _plain(url: str) -> str:
    return url.partition("#")[0]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
