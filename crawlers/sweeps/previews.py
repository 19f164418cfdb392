"""The pictures that a hub shows for a listing, as its own answer names them: often the first place where a face is seen.

Civitai: `images` of a model version in its REST answers (model.controller.ts). Hugging Face: `widget[].output.url` of the model card
(huggingface/hub-docs, model-cards.md), beside the repository's files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from crawlers.listing import Listing

MOST_PREVIEWS = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture of a listing.

    Attributes:
        minor: the hub itself says that it shows a minor.
    """

    url: str
    minor: bool = False


def previews_of(listing: Listing) -> tuple[Preview, ...]:
    """The pictures of a listing, at most ten; none where its hub names none."""
    try:
        told = json.loads(listing.raw)
    except ValueError:
        return ()
    found = {one.url: one for one in (*_of_a_version(told), *_of_a_card(told, listing.url))}
    return tuple(found.values())[:MOST_PREVIEWS]


def _of_a_version(told: Any) -> Iterator[Preview]:
    for image in _objects(_at(told, "version", "images")):
        url = image.get("url")
        if isinstance(url, str) and _is_address(url) and image.get("type", "image") == "image":
            yield Preview(url, bool(image.get("minor")))


def _of_a_card(told: Any, page: str) -> Iterator[Preview]:
    for example in _objects(_at(told, "cardData", "widget")):
        url = _at(example, "output", "url")
        if not isinstance(url, str):
            continue
        place = (
            url
            if _is_address(url)
            else urljoin(f"{page.rstrip('/')}/resolve/main/", quote(url.lstrip("./")))
        )
        if _is_address(place):
            yield Preview(place)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _at(told: Any, *names: str) -> Any:
    for name in names:
        told = told.get(name) if isinstance(told, dict) else None
    return told


def _objects(told: Any) -> list[dict[str, Any]]:
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
