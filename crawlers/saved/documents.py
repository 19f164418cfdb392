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
        self._pages, self._resources = pages, resources
        self._inside: dict[int, set[str]] = {}

    def has(self, one: Resource) -> bool:
        """Whether its request says that it is a part of a page, else whether a page embeds it.

        Where two pages embed each other, the one that asked for the other is the page.
        """
        if one.asked_for:
            return one.asked_for != _DOCUMENT
        url = _plain(one.url)
        around = [page for page in self._pages if _plain(page.url) != url and url in self._embedded(page)]
        return any(
            url_of_page in self._askers(one) or url_of_page not in self._embedded(one)
            for url_of_page in (_plain(page.url) for page in around)
        )

    def _askers(self, one: Resource) -> set[str]:
        """The pages that its referrer may name: browsers tell other hosts no more than the host of the page."""
        asker = _plain(one.referrer or "")
        return {url for page in self._pages if asker in ((url := _plain(page.url)), f"{_origin(page.url)}/")}

    def _embedded(self, page: Resource) -> set[str]:
        if page.number not in self._inside:
            root = tree_of(decoded(page))
            base = joined(page.base or page.url, (root.xpath("//base/@href") or [""])[0]) or page.url
            places = root.xpath("//iframe/@src | //frame/@src | //embed/@src | //object/@data")
            urls = [joined(base, place.strip()) for place in places]
            found = [self._resources.find(url) for url in urls if url]
            self._inside[page.number] = {_plain(one.url) for one in found if one is not None}
        return self._inside[page.number]


def _plain(url: str) -> str:
    return url.partition("#")[0]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
