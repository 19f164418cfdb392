"""Which elements of a page are drawn, and where those that show an image say that it lies."""

from __future__ import annotations

from typing import Any

from crawlers.saved.addresses import srcset_of

_HIDDEN = frozenset({"script", "style", "noscript", "template", "head"})
_SHADOW_ROOTS = ("shadowrootmode", "shadowroot", "shadowmode")  # HTML Standard; older SingleFile; Chromium's MHTML
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-url", "data-xhs-img", "src", "href", "xlink:href")


def is_hidden(element: Any, tag: str) -> bool:
    """Whether nothing in an element is drawn. A template that declares a shadow root is drawn in its parent's place."""
    return tag in _HIDDEN and not (tag == "template" and any(name in element.attrib for name in _SHADOW_ROOTS))


def image_places(element: Any, tag: str) -> list[str]:
    """Where an element's image may lie, the one a browser would rather draw first; [] for elements that show none."""
    if tag == "video":
        return list(filter(None, [element.get("poster")]))
    if tag in ("object", "embed"):
        place = element.get("data") or element.get("src") or ""
        return [place] if (element.get("type") or "").lower().startswith("image/") and place else []
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
        for name in ("srcset", "data-srcset", "data-lazy-srcset"):
            places += srcset_of(one.get(name) or "")
        places += [place for name in _LAZY if (place := one.get(name))]
    return [place for place in places if place.strip()]


def _is_alone(source: Any) -> bool:
    """Whether a source element is the image of a picture element that has no img; others belong to films."""
    picture = _picture_of(source)
    return picture is not None and next(picture.iter("img"), None) is None


def _picture_of(element: Any) -> Any:
    """The picture element around an element; the parser may put an img into the source element before it."""
    return next(element.iterancestors("picture"), None)
