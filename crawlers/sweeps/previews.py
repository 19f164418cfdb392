"""The preview pictures of a listing, which are often the first place where a face appears.

They are read from the hub's stored answer. Civitai: `images` of a model version in its REST answers
(model.controller.ts). Hugging Face: `widget[].output.url` of the model card
(huggingface/hub-docs, model-cards.md), next to the repository's files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from crawlers.listing import Listing
from crawlers.values import objects_of

MOST_PREVIEWS = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """One preview picture of a listing.

    Attributes:
        minor: whether the hub says that it shows a minor.
    """

    url: str
    minor: bool = False


def previews_of(listing: Listing) -> tuple[Preview, ...]:
    """At most ten preview pictures of a listing; none if its hub names none."""
    try:
        raw = json.loads(listing.raw)
    except ValueError:
        return ()
    found = {
        preview.url: preview for preview in (*_of_a_version(raw), *_of_a_card(raw, listing.url))
    }
    return tuple(found.values())[:MOST_PREVIEWS]


def _of_a_version(raw: Any) -> Iterator[Preview]:
    for image in objects_of(_at(raw, "version", "images")):
        url = image.get("url")
        if isinstance(url, str) and _is_address(url) and image.get("type", "image") == "image":
            yield Preview(url, bool(image.get("minor")))


def _of_a_card(raw: Any, page: str) -> Iterator[Preview]:
    for example in objects_of(_at(raw, "cardData", "widget")):
        url = _at(example, "output", "url")
        if not isinstance(url, str):
            continue
        if not _is_address(url):
            url = urljoin(f"{page.rstrip('/')}/resolve/main/", quote(url.lstrip("./")))
        if _is_address(url):
            yield Preview(url)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
