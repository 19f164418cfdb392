"""Checks of listings that disappeared: the hub is asked about each, and a 404 must come twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from crawlers.errors import HubError
from crawlers.listing import Hub, Presence
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import OF_PRESENCE, Event
from crawlers.values import ODD_SHAPES

REQUESTS_AT_ONCE = 4
# A second 404 counts if it comes at least this much later.
BETWEEN_LOOKS = timedelta(hours=1)
_AT_ONCE = 32
Check = tuple[Event | None, str | None]
"""An event, or a note about a failed check; neither if the listing is still there."""


class RequestPool(ThreadPoolExecutor):
    """A pool that is not waited for when a sweep ends early, as its results are not needed."""

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=False, cancel_futures=True)


def vanished(
    hub: Hub,
    place: str,
    store: CrawlStore,
    clock: Callable[[], datetime],
    sweep_id: int,
    pool: ThreadPoolExecutor,
) -> Iterator[Check]:
    """Check the listings that earlier sweeps of this place found and this one did not."""
    query = """
        select p.* from sightings s join presence p using (hub, listing_id)
        where s.place = ? and s.sweep_id != ? and p.state in ('listed', 'missing') order by p.rowid
    """
    yield from _checked(hub, store, list(store.db.query(query, [place, sweep_id])), clock, pool)


def confirm_missing(
    hub: Hub, place: str, store: CrawlStore, clock: Callable[[], datetime]
) -> Iterator[Check]:
    """Check again what answered 404 once, an hour ago or more.

    Yields events for listings that are gone, and notes for failed checks.
    """
    before = (clock() - BETWEEN_LOOKS).isoformat()
    query = """
        select p.* from sightings s join presence p using (hub, listing_id)
        where s.place = ? and p.state = 'missing' and p.missing_since < ? order by p.rowid
    """
    rows = list(store.db.query(query, [place, before]))
    with RequestPool(REQUESTS_AT_ONCE) as pool:
        yield from _checked(hub, store, rows, clock, pool)


def _checked(
    hub: Hub,
    store: CrawlStore,
    rows: list[dict[str, Any]],
    clock: Callable[[], datetime],
    pool: ThreadPoolExecutor,
) -> Iterator[Check]:
    """Ask the hub about listings, in the order of the rows."""
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        answers = [(row, pool.submit(hub.check_presence, row["listing_id"])) for row in part]
        for row, answer in answers:
            try:
                presence = answer.result()
            except (HubError, *ODD_SHAPES) as error:
                problem = "was not listed, and the hub does not say what became of it"
                yield None, f"{row['listing_id']} {problem}: {error}"
                continue
            yield _note_presence(store, row, presence, clock()), None


def _note_presence(
    store: CrawlStore, row: Mapping[str, Any], presence: Presence, now: datetime
) -> Event | None:
    state, since = str(presence), row["missing_since"]
    first_404 = presence == Presence.GONE and row["state"] == "listed"
    if presence == Presence.LISTED:
        since = None
    elif first_404 or (presence == Presence.GONE and since > (now - BETWEEN_LOOKS).isoformat()):
        state, since = "missing", since or now.isoformat()
    with store.transaction():
        key = (row["hub"], row["listing_id"])
        store.db.table("presence").update(key, {"state": state, "missing_since": since})
        if state in ("listed", "missing"):
            return None
        return store.note(OF_PRESENCE[presence], *key, now, {"missing_since": since})
