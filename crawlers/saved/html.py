"""A saved HTML page with its answers, as a reader of it would see it: text, images in their order, frames.

lxml only builds the tree: no script runs, nothing is fetched, no entity or DTD is loaded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import lxml.html
from lxml import etree

from crawlers.saved.page import PageImage, Resource, Resources, SavedPage, Start

_HIDDEN = frozenset({"script", "style", "noscript", "template", "head", "svg", "object", "embed"})
_BLOCKS = frozenset(
    ["p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "header", "footer", "td", "th",
     "dt", "dd", "pre", "blockquote", "figcaption", "option", "button"]
)  # fmt: skip
_LAZY = ("src", "data-src", "data-original", "data-lazy-src", "data-url", "data-xhs-img", "poster")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.IGNORECASE)
_MOST_DATA_CHARS = 90_000_000
_MOST_ANSWER_BYTES = 8_000_000
_MOST_IMAGES = 5_000


def page_of(start: Start, resources: Resources, loaded: Sequence[Resource]) -> SavedPage | None:
    """The page that begins at an address; None if the capture does not hold it.

    Args:
        loaded: what came after this page and before the next one, for what its scripts loaded.
    """
    resource = resources.find(start.url)
    if resource is None:
        return None
    reading = _PageReading(resources)
    html = decoded(resource)
    root = tree_of(html)
    reading.read(root, start.url, 0, resource.base)
    reading.add_what_scripts_loaded(start.url, loaded)
    title = start.title or _title(root)
    return SavedPage(
        start.url if start.url.startswith(("http://", "https://")) else None, title[:500], start.saved_at or resource.at, html,
        "".join(reading.text)[: resources.limits.text_chars], tuple(reading.images), tuple(_answers(loaded)), tuple(reading.notes),
    )  # fmt: skip


def tree_of(html: str) -> Any:
    """The tree of a page, an empty one where nothing can be made of it."""
    parser = lxml.html.HTMLParser(
        no_network=True, remove_comments=True, remove_pis=True, huge_tree=False, encoding="utf-8"
    )
    try:
        root = lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        root = lxml.html.document_fromstring("<html><body></body></html>")
    return root


def decoded(resource: Resource) -> str:
    """A page's text in the charset that was declared, by its server or in itself; UTF-8 with marks for what does not fit."""
    data = resource.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    told = resource.charset
    if told is None and (
        found := re.search(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]{1,40})", data[:4096], re.IGNORECASE)
    ):
        told = found[1].decode("ascii")
    if told and told.lower() in ("gb2312", "gbk"):
        told = "gb18030"  # browsers read them so
    try:
        return data.decode(told or "utf-8", "replace")
    except (LookupError, ValueError):  # names of no charset, and of codecs that are none
        return data.decode("utf-8", "replace")


class _PageReading:
    """One walk over a page and its frames."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self.text: list[str] = []
        self.images: list[PageImage] = []
        self.notes: list[str] = []
        self._frames: set[str] = set()
        self._seen: set[str] = set()
        self._missing = 0
        self._chars = 0

    def read(self, root: Any, url: str, depth: int, base: str | None = None) -> None:
        self._frames.add(url.partition("#")[0])
        url = base or url
        base = joined(url, (root.xpath("//base/@href") or [""])[0]) or url
        hidden = 0
        for event, element in etree.iterwalk(root, ("start", "end")):
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "end":
                hidden -= tag in _HIDDEN
                if not hidden:
                    self._say("\n" if tag in _BLOCKS else "")
                    self._say(element.tail or "")
                continue
            hidden += tag in _HIDDEN
            if not hidden:
                self._say(element.text or "")
                self._look(element, tag, base, depth)
        if depth == 0 and self._missing:
            self.notes.append(f"{self._missing} images of the page are not in the capture")

    def add_what_scripts_loaded(self, url: str, loaded: Sequence[Resource]) -> None:
        """Images that no element names, since a script put them there: those this page asked for, or all where nobody says."""
        for resource in loaded:
            if resource.is_image and resource.url not in self._seen and resource.status < 300:
                said = resource.referrer
                if said is None or said.partition("#")[0] in self._frames or host_of(said) == host_of(url):
                    self._keep(resource, "")

    def _say(self, text: str) -> None:
        if not text or self._chars > self._resources.limits.text_chars:
            return
        plain = " ".join(text.split(" ")) if text == "\n" else re.sub(r"\s+", " ", text)
        if plain in ("\n", " ") and (not self.text or self.text[-1].endswith(("\n", " "))):
            return
        self.text.append(plain)
        self._chars += len(plain)

    def _look(self, element: Any, tag: str, base: str, depth: int) -> None:
        if tag in ("iframe", "frame"):
            self._enter(element, base, depth)
            return
        if tag in ("img", "image", "video", "input", "source"):
            places = [element.get(name) for name in _LAZY] + _srcset(
                element.get("srcset") or element.get("data-srcset")
            )
            if any(places):
                self._show([place for place in places if place], base, element.get("alt") or element.get("title") or "")
        for place in _style_urls(element.get("style") or ""):
            self._show([place], base, "")

    def _show(self, places: list[str], base: str, alt: str) -> None:
        for place in places:
            found = self._resource(place, base)
            if found is not None:
                if found.url not in self._seen:
                    self._keep(found, alt)
                return
        self._missing += 1

    def _keep(self, resource: Resource, alt: str) -> None:
        self._seen.add(resource.url)
        if len(self.images) < _MOST_IMAGES:
            url = resource.url if resource.url.startswith(("http://", "https://")) else None
            self.images.append(PageImage(url, resource.path, len(self.images), alt[:300]))

    def _resource(self, place: str, base: str) -> Resource | None:
        place = place.strip()
        if place.startswith("data:"):
            return self._inline(place)
        url = joined(base, place)
        return None if url is None else self._resources.find(url)

    def _inline(self, place: str) -> Resource | None:
        known = self._resources.find(name := f"data:{hash(place) & 0xFFFFFFFFFFFF:012x}")
        if known is not None:
            return known
        data = data_of(place)
        if data is None or not data[1]:
            return None
        resource = self._resources.add_bytes(data[1], name, media_type=data[0])
        return resource if resource.is_image else None

    def _enter(self, element: Any, base: str, depth: int) -> None:
        if depth >= self._resources.limits.frame_depth:
            self.notes.append("frames within frames go deeper than is read")
            return
        if (inside := element.get("srcdoc")) is not None:
            self.read(tree_of(inside), base, depth + 1)
            return
        place = (element.get("src") or "").strip()
        if place.startswith("data:text/html"):
            data = data_of(place)
            if data is not None:
                self.read(tree_of(data[1].decode("utf-8", "replace")), base, depth + 1)
            return
        url = joined(base, place)
        if url is None:
            return
        found = self._resources.find(url)
        if found is not None and found.is_page and found.url.partition("#")[0] not in self._frames:
            self.read(tree_of(decoded(found)), found.url, depth + 1, found.base)


def joined(base: str, place: str) -> str | None:
    """An address within a page; None for one that is none."""
    try:
        return urljoin(base, place)
    except ValueError:
        return None


def host_of(url: str) -> str:
    """The host of an address, "" for one that is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def data_of(place: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a data: address (RFC 2397); None if it is none."""
    found = _DATA_URL.match(place[:1_000])
    if found is None or len(place) > _MOST_DATA_CHARS:
        return None
    rest = place[found.end() :]
    try:
        data = base64.b64decode(re.sub(r"\s+", "", rest), validate=False) if found[3] else unquote_to_bytes(rest)
    except (binascii.Error, ValueError):
        return None
    return (found[1] or "text/plain").lower(), data


def _style_urls(style: str) -> Iterator[str]:
    """Addresses in a style attribute, in one pass: a pattern could be made to look for hours."""
    position = 0
    while (start := style.find("url(", position)) >= 0 and (end := style.find(")", start)) >= 0:
        yield style[start + 4 : end].strip(" \t\n'\"")
        position = end + 1


def _srcset(told: str | None) -> list[str]:
    """Addresses of a srcset, the largest first; commas within data: addresses are kept."""
    if not told or told.lstrip().startswith("data:"):
        return [told.split()[0]] if told and told.split() else []
    parts = [part.split() for part in told.split(",") if part.strip()]
    return [part[0] for part in sorted(parts, key=lambda part: -_width(part))]


def _width(part: list[str]) -> float:
    try:
        return float(part[1][:-1]) if len(part) > 1 else 1.0
    except ValueError:
        return 1.0


def _title(root: Any) -> str:
    found = root.xpath("//meta[@property='og:title']/@content") or root.xpath("//title/text()")
    return " ".join(str(found[0]).split()) if found else ""


def _answers(loaded: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    for resource in loaded:
        if resource.is_json and resource.status < 300 and resource.size_bytes <= _MOST_ANSWER_BYTES:
            yield resource.url, resource.read().decode("utf-8", "replace")
