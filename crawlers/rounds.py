"""Watching a hub: now a sweep of what changed, now one of everything, and second looks at what seems gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crawlers.listing import Hub
from crawlers.store import CrawlStore
from crawlers.sweep import SweepStep, sweep
from crawlers.vanishing import WORKERS, confirm_missing

# Clocks differ and indexes lag: a round goes so far behind the beginning of the one before.
OVERLAP = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Round:
    """What the next round of a place has to be.

    Attributes:
        since: None for everything.
        is_first: nothing of this place was ever read to the end, so that all is new and nothing is news.
    """

    since: datetime | None
    is_first: bool


def next_round(store: CrawlStore, place: str, now: datetime, full_every: timedelta) -> Round:
    """Everything when that was not read to its end for `full_every`, else what changed since the last round."""
    last_full = _last(store, place, "since is null")
    if last_full is None:
        return Round(None, is_first=True)
    if now - last_full >= full_every:
        return Round(None, is_first=False)
    last = _last(store, place, "1 = 1") or last_full
    return Round(last - OVERLAP, is_first=False)


def go_round(
    hub: Hub, place: str, store: CrawlStore, clock: Callable[[], datetime], due: Round, workers: int = WORKERS
) -> Iterator[SweepStep]:
    """One round; raises HubError as `sweep` does."""
    step = SweepStep(0, 0, 0)
    for step in sweep(hub, place, store, clock, due.since, workers):
        yield step
    for event, note in confirm_missing(hub, place, store, clock):
        yield replace(step, events=(event,) if event else (), notes=(note,) if note else (), finished=False)


def _last(store: CrawlStore, place: str, which: str) -> datetime | None:
    query = f"select max(started_at) from sweeps where place = ? and finished_at is not null and {which}"
    found = store.db.execute(query, [place]).fetchone()[0]
    return datetime.fromisoformat(found) if found else None
