"""One pass over a hub that loses nothing: page by page into crawl.db, resumed where it was stopped, and what vanished.

A page, its events and the cursor behind it are written in one transaction: killed at any point, a sweep asks again
for at most the page it was reading. Only a finished sweep can tell that a listing is gone, and it asks the hub about
each one; a 404 counts after two sweeps have seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from crawlers.errors import HubError
from crawlers.listing import Hub, Page, Presence
from crawlers.store import CrawlStore, Event, EventKind

_KINDS = {
    Presence.GONE: EventKind.GONE,
    Presence.ARCHIVED: EventKind.ARCHIVED,
    Presence.TAKEN_DOWN: EventKind.TAKEN_DOWN,
    Presence.FLAGGED: EventKind.FLAGGED,
}


@dataclass(frozen=True, slots=True)
class SweepStep:
    """How far a sweep has come.

    Attributes:
        pages, listings: so far, over all runs of this sweep.
        events: of this step.
        notes: what was odd, in sentences.
        finished: nothing is left to do.
    """

    sweep_id: int
    pages: int
    listings: int
    events: tuple[Event, ...]
    notes: tuple[str, ...] = ()
    finished: bool = False


def sweep(hub: Hub, place: str, store: CrawlStore, clock: Callable[[], datetime]) -> Iterator[SweepStep]:
    """Go through a hub, going on with a sweep of the same place that was stopped.

    Args:
        place: hub and address as the operator named them.

    Raises:
        HubError: the hub stopped answering; what came so far is kept, and the next call goes on there.
    """
    step, cursor, done_before = _begin(hub, place, store, clock())
    if not done_before:
        for page in hub.pages(cursor):
            step = _take(store, place, step, page, clock())
            yield step
    for event, note in _vanished(hub, place, store, step.sweep_id, clock):
        yield replace(step, events=(event,) if event else (), notes=(note,) if note else ())
    with store.transaction():
        store.db.table("sweeps").update(step.sweep_id, {"finished_at": clock().isoformat()})
    yield replace(step, events=(), notes=(), finished=True)


def _begin(hub: Hub, place: str, store: CrawlStore, now: datetime) -> tuple[SweepStep, str | None, bool]:
    sweeps = store.db.table("sweeps")
    for row in sweeps.rows_where("place = ? and finished_at is null", [place], order_by="sweep_id desc", limit=1):
        listed = row["pages"] > 0 and row["cursor"] is None
        return SweepStep(row["sweep_id"], row["pages"], row["listings"], ()), row["cursor"], listed
    with store.transaction():
        sweep_id = sweeps.insert(
            {"place": place, "hub": hub.name, "started_at": now.isoformat(), "finished_at": None, "cursor": None,
             "pages": 0, "listings": 0}
        ).last_pk  # fmt: skip
    return SweepStep(int(sweep_id or 0), 0, 0, ()), None, False


def _take(store: CrawlStore, place: str, step: SweepStep, page: Page, now: datetime) -> SweepStep:
    with store.transaction():
        fresh = [
            listing for listing in page.listings if not _seen(store, listing.hub, listing.listing_id, step.sweep_id)
        ]
        events = [event for listing in fresh for event in store.see(listing, place, step.sweep_id, now)]
        step = replace(
            step, pages=step.pages + 1, listings=step.listings + len(fresh), events=tuple(events), notes=page.notes
        )
        store.db.table("sweeps").update(
            step.sweep_id, {"cursor": page.cursor, "pages": step.pages, "listings": step.listings}
        )
    return step


def _seen(store: CrawlStore, hub: str, listing_id: str, sweep_id: int) -> bool:
    query = "hub = ? and listing_id = ? and sweep_id = ?"
    return any(store.db.table("presence").rows_where(query, [hub, listing_id, sweep_id], limit=1))


def _vanished(
    hub: Hub, place: str, store: CrawlStore, sweep_id: int, clock: Callable[[], datetime]
) -> Iterator[tuple[Event | None, str | None]]:
    """What became of listings that were there before and did not come this time."""
    query = "place = ? and sweep_id != ? and state in ('listed', 'missing')"
    for row in list(store.db.table("presence").rows_where(query, [place, sweep_id])):
        try:
            presence = hub.look(row["listing_id"])
        except HubError as error:
            yield None, f"{row['listing_id']} was not listed, and what became of it cannot be told: {error}"
            continue
        now = clock()
        state, since = str(presence), row["missing_since"]
        if presence == Presence.GONE and row["state"] == "listed":
            state, since = "missing", now.isoformat()
        with store.transaction():
            key = (row["hub"], row["listing_id"])
            store.db.table("presence").update(key, {"state": state, "missing_since": since, "sweep_id": sweep_id})
            told = state not in ("listed", "missing")
            event = store.note(_KINDS[presence], *key, now, {"missing_since": since}) if told else None
        yield event, None
