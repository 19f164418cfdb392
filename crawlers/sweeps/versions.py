"""Versions of a listing, and the events that follow from comparing two of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlers.listing import Listing, Presence, listing_to_dict
from crawlers.sweeps.events import OF_PRESENCE, EventKind


@dataclass(frozen=True, slots=True)
class Version:
    """A listing as it is stored.

    Attributes:
        content_sha256: the hash of everything that only changes when somebody edits the listing.
        record: the listing as JSON.
    """

    hub: str
    listing_id: str
    content_sha256: str
    record: str
    standing: Presence


@dataclass(frozen=True, slots=True)
class KnownListing:
    """The stored state of a listing; `sweep_id` is the last sweep of one place that found it."""

    content_sha256: str
    state: str
    sweep_id: int | None
    revision: str | None


def version_of(listing: Listing) -> Version:
    """The version of a listing. A new download count or revision is not a new version."""
    record = listing_to_dict(listing)
    del record["downloads"]
    revision = record.pop("revision")
    lasting = json.dumps(record, ensure_ascii=False, sort_keys=True)
    content = hashlib.sha256(lasting.encode(errors="surrogatepass")).hexdigest()
    whole = (
        lasting
        if revision is None
        else json.dumps({**record, "revision": revision}, ensure_ascii=False)
    )
    return Version(listing.hub, listing.listing_id, content, whole, listing.standing)


def happened_to(
    version: Version, before: KnownListing | None, fields: list[str]
) -> Iterator[tuple[EventKind, dict[str, Any]]]:
    """Yield the events that a version means for its listing.

    Args:
        fields: the fields that differ from the previous version.
    """
    if before is None:
        yield EventKind.FIRST_SEEN, {}
    was = "listed" if before is None or before.state == "missing" else before.state
    if version.standing not in (Presence.LISTED, was):
        yield OF_PRESENCE[version.standing], {"was": was}
    elif version.standing == Presence.LISTED and was != "listed":
        yield EventKind.BACK_AGAIN, {"was": was}
    if before is not None and before.content_sha256 != version.content_sha256 and fields:
        details = {"from": before.content_sha256, "to": version.content_sha256, "fields": fields}
        yield EventKind.CHANGED, details
