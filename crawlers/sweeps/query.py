"""Searches of crawl.db: listings by words, state and likelihood of a likeness."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from crawlers.listing import Listing, Presence
from crawlers.sweeps.crawl_store import CrawlStore, stored_listing

STATES = (
    "listed",
    "missing",
    *(str(presence) for presence in Presence if presence != Presence.LISTED),
)
_LIKE = re.compile(r"([%_!])")
ORDERS = {
    "newest": "l.first_seen desc, l.rowid desc",
    "likeness": "p.likeness desc, l.rowid",
    "downloads": "p.downloads desc, l.rowid",
}


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
    query = """
        select l.record, l.raw, p.downloads, p.state, p.likeness, l.last_seen,
            (select min(v.first_seen) from listings v
             where v.hub = p.hub and v.listing_id = p.listing_id) as first_seen
        from presence p join listings l using (hub, listing_id, content_sha256)
        where (:hub is null or p.hub = :hub) and (:state is null or p.state = :state)
    """
    facts: dict[str, Any] = {"hub": hub, "state": state, "limit": limit, "offset": offset}
    for number, word in enumerate((words or "").split()):
        facts[f"word{number}"] = "%" + _LIKE.sub(r"!\1", word) + "%"
        matches = f"like :word{number} escape '!'"
        query += f"""
            and (l.title {matches} or l.creator {matches}
                or exists (select 1 from json_each(l.record, '$.tags') where value {matches})
                or exists (select 1 from json_each(l.record, '$.triggers') where value {matches})
                or exists (select 1 from json_each(l.record, '$.files')
                           where json_extract(value, '$.name') {matches}))
        """
    rows = store.db.query(f"{query} order by {ORDERS[order]} limit :limit offset :offset", facts)
    return [
        FoundListing(
            stored_listing(row), row["state"], row["likeness"], row["first_seen"], row["last_seen"]
        )
        for row in rows
    ]


def likely(store: CrawlStore, place: str) -> list[Listing]:
    """The present listings of a place, the likeliest likeness first."""
    query = """
        select l.record, l.raw, p.downloads from sightings s join presence p using (hub, listing_id)
        join listings l using (hub, listing_id, content_sha256)
        where s.place = ? and p.state = 'listed' order by p.likeness desc, l.rowid
    """
    return [stored_listing(row) for row in store.db.query(query, [place])]
