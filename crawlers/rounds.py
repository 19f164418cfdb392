"""Watching a hub: now a sweep of what changed, now one of everything, and second looks at what seems gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from crawlers.listing import Hub
from crawlers.store import CrawlStore
from crawlers.sweep import SweepStep, sweep
from crawlers.vanishing import WORKERS, confirm_missing

# Clocks differ and indexes lag: a round goes so far behind the beginning of the one before.
OVERLAP = timedelta(hours=2)


def since_when(store: CrawlStore, place: str, now: datetime, full_every: timedelta) -> datetime | None:
    """Since when the next round has to read: None for everything, when that was not read to its end for `full_every`."""
    last_full = _last(store, place, "since is null")
    if last_full is None or now - last_full >= full_every:
        return None
    return (_last(store, place, "1 = 1") or last_full) - OVERLAP


def go_round(
    hub: Hub,
    place: str,
    store: CrawlStore,
    clock: Callable[[], datetime],
    since: datetime | None,
    workers: int = WORKERS,
) -> Iterator[SweepStep]:
    """One round; raises HubError as `sweep` does."""
    step = SweepStep(0, 0, 0)
    for step in sweep(hub, place, store, clock, since, workers):
        yield step
    for event, note in confirm_missing(hub, place, store, clock):
        yield replace(step, events=(event,) if event else (), notes=(note,) if note else (), finished=False)


def _last(store: CrawlStore, place: str, which: str) -> datetime | None:
    query = f"select max(started_at) from sweeps where place = ? and finished_at is not null and {which}"
    found = store.db.execute(query, [place]).fetchone()[0]
    return datetime.fromisoformat(found) if found else None
