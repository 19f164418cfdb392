"""Rounds of watching a hub: sweeps of changes or of everything, and repeated presence checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from crawlers.listing import Hub
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.presence import REQUESTS_AT_ONCE, confirm_missing
from crawlers.sweeps.sweep import SweepStep, sweep

# Clocks differ and indexes lag, so a round reaches this far behind the start of the previous one.
OVERLAP = timedelta(hours=2)


def since_when(
    store: CrawlStore, place: str, now: datetime, full_every: timedelta
) -> datetime | None:
    """The moment from which the next round must read.

    None means everything, which is due if the last full sweep is `full_every` old.
    """
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
    workers: int = REQUESTS_AT_ONCE,
) -> Iterator[SweepStep]:
    """Run one round; the last step tells whether it was finished. Raises HubError as `sweep`."""
    step = SweepStep(0, 0, 0)
    for step in sweep(hub, place, store, clock, since, workers):
        yield step
    if step.gaps and since is None:
        # A sweep with gaps only requests the gaps again; new listings would have to wait for them.
        yield from _what_changed_since(step, hub, place, store, clock, workers)
    for event, note in confirm_missing(hub, place, store, clock):
        events, notes = (event,) if event else (), (note,) if note else ()
        yield replace(step, events=events, notes=notes, finished=False, gaps=())
    yield replace(step, events=(), notes=())


def _what_changed_since(
    step: SweepStep,
    hub: Hub,
    place: str,
    store: CrawlStore,
    clock: Callable[[], datetime],
    workers: int,
) -> Iterator[SweepStep]:
    query = "select started_at from sweeps where sweep_id = ?"
    started_at = store.db.execute(query, [step.sweep_id]).fetchone()[0]
    since = datetime.fromisoformat(started_at) - OVERLAP
    for newer in sweep(hub, place, store, clock, since, workers):
        yield replace(newer, finished=False, gaps=())


def _last(store: CrawlStore, place: str, which: str) -> datetime | None:
    query = f"""
        select max(started_at) from sweeps
        where place = ? and finished_at is not null and {which}
    """
    found = store.db.execute(query, [place]).fetchone()[0]
    return datetime.fromisoformat(found) if found else None
