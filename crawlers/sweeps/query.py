"""Searches of crawl.db: listings by words, state and likelihood of a likeness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlers.listing import Listing, Presence
from crawlers.sweeps.crawl_store import CrawlStore, stored_listing
from crawlers.sweeps.listing_words import condition

STATES = (
    "listed",
    "missing",
    *(str(presence) for presence in Presence if presence != Presence.LISTED),
)
_PAGE_SIZE = 500
# Each order is that of an index, so that a page costs what it shows.
ORDERS = {
    "newest": "l.first_seen desc, l.rowid desc",
    "likeness": "p.likeness desc, p.rowid",
    "downloads": "p.downloads desc, p.rowid",
}
_BY_NEWEST = (
    "listings l cross join presence p on p.hub = l.hub and p.listing_id = l.listing_id "
    "and p.content_sha256 = l.content_sha256"
)
_BY_PRESENCE = (
    "presence p cross join listings l on l.hub = p.hub and l.listing_id = p.listing_id "
    "and l.content_sha256 = p.content_sha256"
)


@dataclass(frozen=True, slots=True)
class FoundListing:
    """A listing as it was seen last."""

    listing: Listing
    state: str
    likeness: float | None
    first_seen: str
    last_seen: str


def search(
    store: CrawlStore,
    hub: str | None = None,
    words: str | None = None,
    state: str | None = None,
    order: str = "newest",
    limit: int = 50,
    offset: int = 0,
) -> list[FoundListing]:
    """Find listings with all of these words in title, creator, tags, triggers or file names.

    Args:
        state: one of STATES.
        order: one of ORDERS.
    """
    conditions, values = ["1 = 1"], dict[str, Any](limit=limit, offset=offset)
    if hub is not None:
        conditions.append("p.hub = :hub and l.hub = :hub")
        values["hub"] = hub
    if state is not None:
        conditions.append("p.state = :state")
        values["state"] = state
    if words and words.split():
        found, wanted = condition(words.split())
        conditions.append(found)
        values |= wanted
    # Few listings have a word or are in another state than "listed".
    is_walked = order == "newest" and not words and state in (None, "listed")
    source = _BY_NEWEST if is_walked else _BY_PRESENCE
    # The sign keeps SQLite from looking for the minimum in the index of all listings of a hub.
    query = f"""
        select l.record, l.raw, p.downloads, p.state, p.likeness, l.last_seen,
            (select min(+v.first_seen) from listings v
             where v.hub = p.hub and v.listing_id = p.listing_id) as first_seen
        from {source} where {" and ".join(conditions)}
        order by {ORDERS[order]} limit :limit offset :offset
    """
    return [
        FoundListing(
            stored_listing(row), row["state"], row["likeness"], row["first_seen"], row["last_seen"]
        )
        for row in store.db.query(query, values)
    ]


def likely(store: CrawlStore, place: str) -> Iterator[Listing]:
    """Yield the present listings of a place, the likeliest likeness first, without raw answers.

    A page at a time is read: the memory does not depend on their number, and no cursor stays open
    while the caller writes.
    """
    score, number = math.inf, 0
    while True:
        # First the rest of those that are as likely as the last one, then the next ones.
        page = _likely_page(
            store, place, "p.likeness = :score and p.rowid > :number", score, number
        )
        page = page or _likely_page(store, place, "p.likeness < :score", score, number)
        if not page:
            return
        yield from map(stored_listing, page)
        score, number = page[-1]["likeness"], page[-1]["number"]


def _likely_page(
    store: CrawlStore, place: str, where: str, score: float, number: int
) -> list[dict[str, Any]]:
    query = f"""
        select l.record, '' as raw, p.downloads, p.likeness, p.rowid as number
        from presence p indexed by presence_by_likeness
        cross join sightings s on s.place = :place and s.hub = p.hub
            and s.listing_id = p.listing_id
        cross join listings l on l.hub = p.hub and l.listing_id = p.listing_id
            and l.content_sha256 = p.content_sha256
        where p.state = 'listed' and {where} order by p.likeness desc, p.rowid limit :limit
    """
    values = {"place": place, "score": score, "number": number, "limit": _PAGE_SIZE}
    return list(store.db.query(query, values))
