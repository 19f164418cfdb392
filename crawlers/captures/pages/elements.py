"""Which elements of a page are drawn, and where those that show an image say that it lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawlers.captures.pages.addresses import srcset_of
from crawlers.captures.pages.styles import style_images

_HIDDEN = frozenset({"script", "style", "noscript", "template", "head"})
_SHADOW_ROOTS = (
    "shadowrootmode",
    "shadowroot",
    "shadowmode",
)  # HTML Standard; older SingleFile; Chromium's MHTML
_LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-lazyload", "data-lazy-img", "data-ks-lazyload", "data-echo",
    "data-actualsrc", "data-url", "data-xhs-img", "src", "href", "xlink:href",
)  # fmt: skip
_LAZY_BACKGROUNDS = (
    "data-bg",
    "data-lazy-bg",
    "data-bg-src",
    "data-background",
    "data-background-image",
)
_WITH_BACKGROUND = frozenset(
    {"body", "table", "thead", "tbody", "tfoot", "tr", "td", "th"}
)  # HTML Standard 15.3.1, 15.3.10
_PICTURE_NAME = re.compile(
    r"\.(?:jpe?g|jpe|jfif|png|gif|webp|avif|bmp|hei[cf]|tiff?)(?:[?#]|$)", re.IGNORECASE
)


def is_hidden(element: Any, tag: str) -> bool:
    """Whether nothing in an element is drawn. A template that declares a shadow root is drawn in its parent's place."""
    return tag in _HIDDEN and not (
        tag == "template" and any(name in element.attrib for name in _SHADOW_ROOTS)
    )


def image_places(element: Any, tag: str) -> list[str]:
    """Where an element's image may lie, the one a browser would rather draw first; [] for elements that show none."""
    if tag == "video":
        return list(filter(None, [element.get("poster")]))
    if tag in ("object", "embed"):
        place = (element.get("data") or element.get("src") or "").strip()
        told = (element.get("type") or "").strip().lower()
        is_image = told.startswith("image/") if told else _looks_like_a_picture(place)
        return [place] if is_image and place else []
    if tag == "input" and (element.get("type") or "").lower() != "image":
        return []
    if tag == "source" and not _is_alone(element):
        return []
    if tag not in ("img", "image", "input", "source"):
        return []
    picture = _picture_of(element) if tag == "img" else None
    sources = picture.iter("source") if picture is not None else ()
    places: list[str] = []
    for one in (*sources, element):
        for name in ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set"):
            places += srcset_of(one.get(name) or "")
        places += [place for name in _LAZY if (place := one.get(name))]
    return [place for place in places if place.strip()]


def background_images(element: Any, tag: str) -> Iterator[list[str]]:
    """The images behind an element that attributes other than style name: for each where it may lie."""
    told = [element.get("background") or ""] if tag in _WITH_BACKGROUND else []
    told += [element.get(name) or "" for name in _LAZY_BACKGROUNDS]
    for one in dict.fromkeys(told):
        images = list(style_images(one))
        yield from images or (
            [[one.strip()]] if "/" in one or "." in one else []
        )  # others are colours


def _looks_like_a_picture(place: str) -> bool:
    return place[:11].lower() == "data:image/" or _PICTURE_NAME.search(place) is not None


def _is_alone(source: Any) -> bool:
    """Whether a source element is the image of a picture element that has no img; others belong to films."""
    picture = _picture_of(source)
    return picture is not None and next(picture.iter("img"), None) is None


def _picture_of(element: Any) -> Any:
    """The picture element around an element; the parser may put an img into the source element before it."""
    return next(element.iterancestors("picture"), None)
