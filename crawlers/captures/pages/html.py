"""The visible content of a captured HTML page: text, images in their order, frames.

lxml only builds the tree: no script runs, nothing is fetched, no entity or DTD is loaded.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import lxml.html
from lxml import etree

from crawlers.captures.images.image_formats import HEAD_BYTES, image_format, open_image
from crawlers.captures.images.pictures import SMALLEST_SIDE_PX
from crawlers.captures.pages.addresses import SAVED, data_of, host_of, is_web, joined
from crawlers.captures.pages.charsets import charset_in, page_text, plain_text
from crawlers.captures.pages.drawings import pictures_in_drawing
from crawlers.captures.pages.elements import background_images, image_places, is_hidden
from crawlers.captures.pages.page import CapturedPage, PageImage, Start
from crawlers.captures.pages.resources import Resource, Resources
from crawlers.captures.pages.sheets import sheets_of
from crawlers.captures.pages.styles import custom_properties, custom_urls, style_images

# The images of these elements are read, but their text is not part of the page's text.
_SILENT = frozenset({"svg", "object", "embed"})
_BLOCKS = frozenset(
    ["p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
     "header", "footer", "td", "th", "dt", "dd", "pre", "blockquote", "figcaption", "option",
     "button"]
)  # fmt: skip
_NO_FRAMES = ("about", "javascript")  # schemes of frames that are not in a capture
_MOST_ANSWER_BYTES = 8_000_000
_MOST_IMAGES = 5_000
_LARGEST_PLACEHOLDER_BYTES = 4_000

# Sentences for one loss and for several.
_LOSSES = {
    "missing": (
        "{} image of the page is not in the capture",
        "{} images of the page are not in the capture",
    ),
    "frame": (
        "{} frame of the page is not in the capture",
        "{} frames of the page are not in the capture",
    ),
    "deep frame": (
        "{} frame within frames lies deeper than is read",
        "{} frames within frames lie deeper than is read",
    ),
    "imports": (
        "{} style sheet is imported by others deeper than is read",
        "{} style sheets are imported by others deeper than is read",
    ),
    "depth": (
        "the page nests its elements deeper than is read",
        "{} frames nest their elements deeper than is read",
    ),
    "many": (
        f"{{}} image beyond {_MOST_IMAGES:,} was not read",
        f"{{}} images beyond {_MOST_IMAGES:,} were not read",
    ),
}


def page_of(start: Start, resources: Resources, loaded: Sequence[Resource]) -> CapturedPage | None:
    """Read the page at an address; None if the capture does not hold it.

    Args:
        loaded: the answers that were recorded for this page, for what its scripts loaded.
    """
    resource = resources.find(start.url)
    if resource is None:
        return None
    reading = _PageReading(resources)
    html = decoded(resource)
    root = tree_of(html)
    reading.read(root, start.url, 0, resource.base)
    if not start.url.startswith(SAVED):
        # Other files in a saved page's folder are not on the page.
        reading.add_what_scripts_loaded(start.url, loaded)
    title = start.title or _title(root)
    notes = (
        reading.notes
        if resource.size_bytes
        else ("the page is empty in the capture", *reading.notes)
    )
    return CapturedPage(
        start.url if is_web(start.url) else None,
        title[:500],
        start.saved_at or resource.at,
        html,
        "".join(reading.text)[: resources.limits.text_chars],
        tuple(reading.images),
        tuple(_answers(loaded)),
        notes,
    )


def tree_of(html: str) -> Any:
    """The tree of a page, or an empty tree if it cannot be parsed."""
    parser = lxml.html.HTMLParser(
        no_network=True, remove_comments=True, remove_pis=True, huge_tree=True, encoding="utf-8"
    )
    try:
        root = lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        root = lxml.html.document_fromstring("<html><body></body></html>")
    return root


def _is_cut_off(root: Any) -> bool:
    """Whether the parser dropped elements that are nested more deeply than its limit."""
    log = root.getroottree().parser.error_log
    return any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in log)


def decoded(resource: Resource) -> str:
    """A page's text, decoded from its charset (see `page_text`)."""
    return page_text(resource.read(), resource.charset)


class _PageReading:
    """One walk over a page and its frames."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self.text: list[str] = []
        self.images: list[PageImage] = []
        self._frames: set[str] = set()
        self._seen: set[str] = set()
        # Images of style sheets, each with its addresses and its sheet. They come after the images
        # of elements.
        self._behind: list[tuple[list[str], str]] = []
        self._properties: dict[str, tuple[str, str]] = {}
        self._losses: Counter[str] = Counter()
        self._chars = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the parts of the page that were not read."""
        return tuple(
            _LOSSES[loss][count > 1].format(count) for loss, count in self._losses.items() if count
        )

    def read(self, root: Any, url: str, depth: int, base: str | None = None) -> None:
        self._frames.add(url.partition("#")[0])
        url = base or url
        base = joined(url, (root.xpath("//base/@href") or [""])[0]) or url
        bases = tuple(dict.fromkeys((base, url)))
        self._losses["depth"] += _is_cut_off(root)
        self._take_styles(root, base)
        hidden = silent = 0
        for event, element in etree.iterwalk(root, ("start", "end")):
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "end":
                hidden -= is_hidden(element, tag)
                silent -= tag in _SILENT
                if not hidden and not silent:
                    self._say("\n" if tag in _BLOCKS else "")
                    self._say(element.tail or "")
                continue
            hidden += is_hidden(element, tag)
            silent += tag in _SILENT
            if not hidden:
                self._say("" if silent else element.text or "")
                self._read_element(element, tag, bases, depth)
        if depth == 0:
            for places, sheet in self._behind:
                found = (self._resource(place, (sheet,)) for place in places)
                images = (image for image in found if image is not None and image.is_image)
                if (first := next(images, None)) is not None:
                    self._add(first, "")

    def add_what_scripts_loaded(self, url: str, loaded: Sequence[Resource]) -> None:
        """Add images that no element names, because a script inserted them.

        If the capture names referrers, only the images that this page requested are added.
        """
        for resource in loaded:
            if resource.is_image and resource.status < 300:
                referrer = resource.referrer
                if (
                    referrer is None
                    or referrer.partition("#")[0] in self._frames
                    or host_of(referrer) == host_of(url)
                ):
                    self._add(resource, "")

    def _take_styles(self, root: Any, base: str) -> None:
        """Collect the addresses in the style sheets of a page."""
        sheets, too_deep = sheets_of(root, base, self._resources)
        self._losses["imports"] += too_deep
        for text, place in sheets:
            self._properties |= {name: (url, place) for name, url in custom_urls(text).items()}
            self._behind += [(places, place) for places in style_images(text)]

    def _say(self, text: str) -> None:
        if not text or self._chars > self._resources.limits.text_chars:
            return
        plain = " ".join(text.split(" ")) if text == "\n" else re.sub(r"\s+", " ", text)
        if plain in ("\n", " ") and (not self.text or self.text[-1].endswith(("\n", " "))):
            return
        self.text.append(plain)
        self._chars += len(plain)

    def _read_element(self, element: Any, tag: str, bases: tuple[str, ...], depth: int) -> None:
        if tag in ("iframe", "frame"):
            self._read_frame(element, bases, depth)
            return
        alt = element.get("alt") or element.get("title") or ""
        if places := image_places(element, tag):
            self._add_image(places, bases, alt)
        elif tag in ("object", "embed"):
            self._add_if_image(element.get("data") or element.get("src") or "", bases, alt)
        style = element.get("style") or ""
        for places in (*background_images(element, tag), *style_images(style)):
            self._add_image(places, bases, alt)
        for name in custom_properties(style):
            if name in self._properties:
                place, sheet = self._properties[name]
                self._add_image([place], (sheet,), alt)

    def _add_image(self, places: list[str], bases: tuple[str, ...], alt: str) -> None:
        """Add the first picture in the capture among the addresses of one image.

        Drawings, and pictures too small for a face, are placeholders until the image is loaded. If
        the capture holds nothing else, the image counts as missing.
        """
        placeholders, missing = [], False
        for place in dict.fromkeys(places):
            found = self._resource(place, bases)
            if found is None:
                missing = True
            elif self._is_placeholder(found):
                placeholders.append(found)
            else:
                self._add(found, alt)
                return
        for placeholder in placeholders:
            for inside in pictures_in_drawing(placeholder):
                if (found := self._resource(inside, ())) is not None:
                    self._add(found, alt)
        self._losses["missing"] += missing

    def _add_if_image(self, place: str, bases: tuple[str, ...], alt: str) -> None:
        """Add the content of an element that may show anything; it never counts as missing."""
        found = self._resource(place, bases) if place else None
        if found is not None and (found.is_image or found.is_drawing):
            self._add_image([place], bases, alt)

    def _is_placeholder(self, found: Resource) -> bool:
        if found.is_drawing:
            return True
        if not 0 < found.size_bytes <= _LARGEST_PLACEHOLDER_BYTES:
            return False
        try:
            with open_image(found.read()) as image:
                return min(image.size) < SMALLEST_SIDE_PX
        except Exception:
            # Pillow's plugins raise anything. Images that cannot be opened are reported later.
            return False

    def _add(self, resource: Resource, alt: str) -> None:
        if resource.url in self._seen:
            return
        self._seen.add(resource.url)
        if len(self.images) >= _MOST_IMAGES:
            self._losses["many"] += 1
            return
        url = resource.url if is_web(resource.url) else None
        self.images.append(PageImage(url, resource.path, len(self.images), alt[:300]))

    def _resource(self, place: str, bases: tuple[str, ...]) -> Resource | None:
        """The answer of an address, relative to the base element, else to the page itself.

        Browsers write addresses relative to the page when they save it.
        """
        if place.lstrip()[:5].lower() == "data:":
            return self._inline(place.strip())
        urls = [url for base in bases if (url := joined(base, place)) is not None]
        return next(
            (found for url in urls if (found := self._resources.find(url)) is not None), None
        )

    def _inline(self, place: str) -> Resource | None:
        data = data_of(place)
        if data is None or not data[1]:
            return None
        media_type, inside = data
        if image_format(inside[:HEAD_BYTES]) and not media_type.startswith("image/"):
            media_type = "image/*"  # browsers ignore the declared type of images
        name = f"data:{hashlib.sha256(inside).hexdigest()}"
        known = self._resources.find(name)
        resource = known or self._resources.add_bytes(inside, name, media_type=media_type)
        return resource if resource.is_image or resource.is_drawing else None

    def _read_frame(self, element: Any, bases: tuple[str, ...], depth: int) -> None:
        if depth >= self._resources.limits.frame_depth:
            self._losses["deep frame"] += 1
            return
        if (inside := element.get("srcdoc")) is not None:
            self.read(tree_of(inside), bases[0], depth + 1)
            return
        place = (element.get("src") or "").strip()
        if place[:5].lower() == "data:":
            data = data_of(place)
            if data is not None and data[0] in ("text/html", "application/xhtml+xml"):
                declared = charset_in(place.partition(",")[0].partition(";")[2])
                self.read(tree_of(page_text(data[1], declared)), bases[0], depth + 1)
                return
        found = self._resource(place, bases) if place else None
        if found is not None and found.is_image:
            self._add(found, element.get("title") or "")
        elif found is not None and found.is_page:
            if found.url.partition("#")[0] not in self._frames:
                self.read(tree_of(decoded(found)), found.url, depth + 1, found.base)
        elif found is None and place:
            self._losses["frame"] += place.partition(":")[0].lower() not in _NO_FRAMES


def _title(root: Any) -> str:
    found = root.xpath("//meta[@property='og:title']/@content") or root.xpath("//title/text()")
    return " ".join(str(found[0]).split()) if found else ""


def _answers(loaded: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    for resource in loaded:
        if resource.is_json and resource.status < 300 and resource.size_bytes <= _MOST_ANSWER_BYTES:
            yield resource.url, plain_text(resource.read(), resource.charset)
