"""Everything that crawl.db holds about one listing, as JSON values."""

from __future__ import annotations

import json
from typing import Any

from crawlers.listing import listing_to_dict
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries
from crawlers.sweeps.likeness import likeness_of


def history_of(store: CrawlStore, hub: str, listing_id: str) -> dict[str, Any] | None:
    """A listing with its versions, events, headers and copies elsewhere; None if unknown."""
    listing = next(iter(store.newest(hub, listing_id)), None)
    if listing is None:
        return None
    inquiries, key = Inquiries(store), [hub, listing_id]
    presence = next(iter(store.db.table("presence").rows_where("hub = ? and listing_id = ?", key)))
    versions = store.db.query(
        "select content_sha256, title, first_seen, last_seen, downloads from listings "
        "where hub = ? and listing_id = ? order by rowid",
        key,
    )
    events = store.db.query(
        "select at, kind, details from events where hub = ? and listing_id = ? order by event_id",
        key,
    )
    others = {
        (other.hub, other.listing_id): other
        for file in listing.files
        if file.sha256
        for other in inquiries.holders(file.sha256)
        if [other.hub, other.listing_id] != key
    }
    triages = inquiries.triages_of(listing)
    sessions = {
        triage["training"].get("session_id") for triage in triages if triage.get("training")
    }
    likeness = likeness_of(listing)
    score = presence["likeness"] if presence["likeness"] is not None else likeness.score
    signals = [list(signal) for signal in likeness.signals]
    signals += [signal for triage in triages for signal in triage["likeness_signals"]]
    return {
        "listing": listing_to_dict(listing),
        "state": presence["state"],
        "likeness": {
            "score": score,
            "signals": [list(signal) for signal in dict.fromkeys(map(tuple, signals))],
        },
        "versions": list(versions),
        "events": [{**row, "details": json.loads(row["details"])} for row in events],
        "triages": triages,
        "same_training": [
            file
            for session in sessions - {None}
            for file in inquiries.of_one_training(str(session))
        ],
        "also_at": [
            {
                "hub": other.hub,
                "listing_id": other.listing_id,
                "title": other.title,
                "url": other.url,
            }
            for other in others.values()
        ],
        "raw": listing.raw,
    }
