"""Pages of Civitai's model list: their cursors, and checks of whether a page is plausible.

The list ends at a page whose `metadata` is an object without `nextCursor` and `nextPage`
(civitai/civitai, src/pages/api/v1/models/index.ts). A cursor names the first model of its page, so
a page at a cursor from the hub always holds a model; now and then the hub answers without one
(issue 1800).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from crawlers.errors import HubError
from crawlers.hubs.repeated_requests import Doubt
from crawlers.values import object_of, objects_of, text_of

PAGE_SIZE = 100


def cursor_of(document: dict[str, Any]) -> str | None:
    """The cursor of the next page, None if the hub names none."""
    metadata = object_of(document.get("metadata"))
    if cursor := text_of(metadata.get("nextCursor")):
        return cursor
    try:
        query = urlsplit(text_of(metadata.get("nextPage")) or "").query
    except ValueError:  # an invalid host
        return None
    return next(iter(parse_qs(query).get("cursor", [])), None)


def odd_entries(document: dict[str, Any], cursor: str | None) -> list[str]:
    """A note about entries that are not models, if there are any."""
    items = document.get("items")
    odd = len(items) - len(objects_of(items)) if isinstance(items, list) else 1
    return [f"{odd} entries at cursor {cursor} are no models"] if odd else []


def doubt_about(
    document: dict[str, Any], cursor: str | None, begin: str | None, end: str
) -> Doubt | None:
    """The reason to request a page again, None if it is plausible.

    Args:
        cursor: the cursor of this page.
        begin: the cursor at which the partition begins; every other cursor came from the hub.
        end: the moment at which the partition ends, if more models are known to follow it.
    """
    models, metadata = objects_of(document.get("items")), document.get("metadata")
    if (following := cursor_of(document)) is not None:
        moved = following != cursor and not models
        return Doubt(f"gives no model at cursor {cursor}", lasts=False) if moved else None
    if not isinstance(document.get("items"), list):
        return Doubt(f"gives no list of models at cursor {cursor}")
    if not isinstance(metadata, dict) or metadata.get("nextCursor") is not None:
        return Doubt(f"does not say whether its list goes on behind cursor {cursor}")
    if end and not any(_is_published_since(model, end) for model in models):
        return Doubt(f"ends its list at cursor {cursor}, and there are models behind it")
    if not models and cursor != begin:
        return Doubt(f"gives no model at cursor {cursor}, which it gave itself")
    # No model since yesterday and a full last page are possible, but unlikely.
    return Doubt("may end its list here", lasts=False) if len(models) in (0, PAGE_SIZE) else None


def _is_published_since(model: dict[str, Any], moment: str) -> bool:
    return any(
        (text_of(version.get("publishedAt")) or "") >= moment
        for version in objects_of(model.get("modelVersions"))
    )


def next_cursor(cursor: str) -> str:
    """The cursor of the next model, `lastVersionAt|modelId`.

    Needed if more models share one second than fit on a page.
    """
    columns = cursor.split("|")
    if not columns[-1].isdigit():
        raise HubError(
            f"cursor {cursor!r} is repeated and cannot be next_cursor over; the sweep is incomplete"
        )
    return "|".join([*columns[:-1], str(int(columns[-1]) + 1)])
