"""The visible elements of a page, and the addresses of their images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawlers.captures.pages.addresses import srcset_of
from crawlers.captures.pages.styles import style_images

_HIDDEN = frozenset({"script", "style", "noscript", "template", "head"})
# In the HTML Standard, in older versions of SingleFile, and in Chromium's MHTML.
_SHADOW_ROOTS = ("shadowrootmode", "shadowroot", "shadowmode")
_LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-lazyload", "data-lazy-img",
    "data-ks-lazyload", "data-echo", "data-actualsrc", "data-url", "data-xhs-img", "src", "href",
    "xlink:href",
)  # fmt: skip
_LAZY_BACKGROUNDS = (
    "data-bg",
    "data-lazy-bg",
    "data-bg-src",
    "data-background",
    "data-background-image",
)
# HTML Standard 15.3.1, 15.3.10
_WITH_BACKGROUND = frozenset({"body", "table", "thead", "tbody", "tfoot", "tr", "td", "th"})
_PICTURE_NAME = re.compile(
    r"\.(?:jpe?g|jpe|jfif|png|gif|webp|avif|bmp|hei[cf]|tiff?)(?:[?#]|$)", re.IGNORECASE
)


def is_hidden(element: Any, tag: str) -> bool:
    """Whether the content of an element is invisible.

    A template that declares a shadow root is rendered in the place of its parent.
    """
    is_shadow_root = tag == "template" and any(name in element.attrib for name in _SHADOW_ROOTS)
    return tag in _HIDDEN and not is_shadow_root


def image_places(element: Any, tag: str) -> list[str]:
    """The possible addresses of an element's image, in the order of a browser's preference.

    Empty for elements that show no image.
    """
    if tag == "video":
        return list(filter(None, [element.get("poster")]))
    if tag in ("object", "embed"):
        place = (element.get("data") or element.get("src") or "").strip()
        media_type = (element.get("type") or "").strip().lower()
        is_image = media_type.startswith("image/") if media_type else _looks_like_a_picture(place)
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
    for holder in (*sources, element):
        for name in ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set"):
            places += srcset_of(holder.get(name) or "")
        places += [place for name in _LAZY if (place := holder.get(name))]
    return [place for place in places if place.strip()]


def background_images(element: Any, tag: str) -> Iterator[list[str]]:
    """Yield the background images in attributes other than style, each with its addresses."""
    values = [element.get("background") or ""] if tag in _WITH_BACKGROUND else []
    values += [element.get(name) or "" for name in _LAZY_BACKGROUNDS]
    for value in dict.fromkeys(values):
        images = list(style_images(value))
        is_address = "/" in value or "." in value  # other values are colours
        yield from images or ([[value.strip()]] if is_address else [])


def _looks_like_a_picture(place: str) -> bool:
    return place[:11].lower() == "data:image/" or _PICTURE_NAME.search(place) is not None


def _is_alone(source: Any) -> bool:
    """Whether a source element is in a picture element without img; others belong to films."""
    picture = _picture_of(source)
    return picture is not None and next(picture.iter("img"), None) is None


def _picture_of(element: Any) -> Any:
    """The picture element around an element.

    The parser may put an img into the source element before it.
    """
    return next(element.iterancestors("picture"), None)
