"""One pass over a hub: partitions are read in parallel into crawl.db and resumed after a stop.

A page, its events and the next cursor are written in one transaction. A sweep that is killed
requests at most the current page of each partition again. Only a finished sweep of everything can
tell that a listing is gone, and it asks the hub about each one; a 404 counts when it came twice. A
sweep is not finished while there is a gap: an answer that is neither a page of the list nor its
end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import SimpleQueue
from typing import Any

from crawlers.errors import HubError
from crawlers.listing import Hub, Listing, Page
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import Event
from crawlers.sweeps.partitions import add_sweep, advance, gaps_of, open_partitions, open_sweep
from crawlers.sweeps.presence import REQUESTS_AT_ONCE, RequestPool, vanished
from crawlers.sweeps.versions import KnownListing
from crawlers.values import ODD_SHAPES


@dataclass(frozen=True, slots=True)
class SweepStep:
    """The progress of a sweep.

    Attributes:
        pages, listings: the numbers so far, over all runs of this sweep.
        before: the listings of its earlier runs.
        events: the events of this step.
        notes: sentences about irregularities.
        finished: whether nothing is left to do.
        gaps: in the last step, sentences that say why listings may be missing. A sweep with gaps
            is not finished.
    """

    sweep_id: int
    pages: int
    listings: int
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    finished: bool = False
    before: int = 0
    gaps: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    """A partition being read: its pages, and the pending requests of the current page."""

    number: int
    pages: Iterator[Page]
    asked_at: str | None
    page: Page | None = None
    fresh: list[Listing] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    known: dict[str, KnownListing] = field(default_factory=dict)
    waiting: int = 0
    notes: list[str] = field(default_factory=list)


def sweep(
    hub: Hub,
    place: str,
    store: CrawlStore,
    clock: Callable[[], datetime],
    since: datetime | None = None,
    workers: int = REQUESTS_AT_ONCE,
) -> Iterator[SweepStep]:
    """Sweep a hub, or resume a stopped sweep of the same place.

    Args:
        place: hub and address as the operator typed them.
        since: read only what changed since then; such a sweep cannot tell what vanished.
        workers: the number of concurrent requests, within the hosts' budgets.

    Raises:
        PlaceBusy: another program is sweeping this place.
        HubError: the hub stopped answering. What came so far is kept, and the next call resumes.
    """
    with store.alone_with(place):
        step = _begin(hub, place, store, since, clock())
        run = _Run(hub, place, store, clock, step)
        with RequestPool(workers) as pool:
            yield from run.read(pool, workers)
            if gaps := gaps_of(store, step.sweep_id):
                yield replace(run.step, events=(), notes=(), gaps=gaps)
                return
            if since is None:
                for event, note in vanished(hub, place, store, clock, step.sweep_id, pool):
                    yield replace(
                        run.step,
                        events=(event,) if event else (),
                        notes=(note,) if note else (),
                    )
        with store.transaction():
            store.db.table("sweeps").update(step.sweep_id, {"finished_at": clock().isoformat()})
        yield replace(run.step, events=(), notes=(), finished=True)


def _begin(
    hub: Hub, place: str, store: CrawlStore, since: datetime | None, now: datetime
) -> SweepStep:
    sweep_id = open_sweep(store, place, since, now)
    if sweep_id is None:
        return SweepStep(add_sweep(store, place, hub.name, hub.partitions(since), since, now), 0, 0)
    query = "select pages, listings from sweeps where sweep_id = ?"
    pages, listings = store.db.execute(query, [sweep_id]).fetchone()
    return SweepStep(sweep_id, pages, listings, before=listings)


class _Run:
    """One run of a sweep. Only the thread that iterates over it touches the store."""

    def __init__(
        self,
        hub: Hub,
        place: str,
        store: CrawlStore,
        clock: Callable[[], datetime],
        step: SweepStep,
    ) -> None:
        self.hub, self.place, self.store, self.clock, self.step = hub, place, store, clock, step
        self._owners: dict[Future[Any], _Reading] = {}
        self._arrived: SimpleQueue[Future[Any]] = SimpleQueue()
        # Listings requested for one partition, so that no other partition requests them.
        self._asking: set[str] = set()
        self._failed: HubError | None = None
        finished = """
            select 1 from sweeps
            where place = ? and finished_at is not null and since is null limit 1
        """
        self.first = store.db.execute(finished, [place]).fetchone() is None

    def read(self, pool: ThreadPoolExecutor, workers: int) -> Iterator[SweepStep]:
        """Read all partitions to their ends, those with `last` after the others."""
        for last in (False, True):
            left = deque(self._partitions(last))
            active = 0
            while self._owners or left:
                while left and active < workers and self._failed is None:
                    active += 1
                    self._ask_for_page(pool, left.popleft())
                if not self._owners:
                    break
                future = self._arrived.get()
                step, ended = self._take(pool, self._owners.pop(future), future)
                active -= ended
                if step is not None:
                    yield step
            if self._failed is not None:
                raise self._failed

    def _partitions(self, last: bool) -> Iterator[_Reading]:
        for left in open_partitions(self.store, self.step.sweep_id, last=last):
            pages = iter(self.hub.pages(left.partition, left.cursor))
            yield _Reading(left.number, pages, left.cursor)

    def _ask_for_page(self, pool: ThreadPoolExecutor, reading: _Reading) -> None:
        reading.page, reading.fresh, reading.unchanged, reading.notes = None, [], [], []
        self._ask(pool.submit(next, reading.pages, None), reading)

    def _ask(self, future: Future[Any], reading: _Reading) -> None:
        # Registered before the callback is added, as a finished future is queued at once.
        self._owners[future] = reading
        future.add_done_callback(self._arrived.put)

    def _take(
        self, pool: ThreadPoolExecutor, reading: _Reading, future: Future[Any]
    ) -> tuple[SweepStep | None, bool]:
        """Process a finished request.

        Returns:
            A step if the request completed a page, and whether the partition ended.
        """
        page_arrived = reading.page is None
        try:
            result = future.result()
            if isinstance(result, Listing):
                reading.notes += [f"{result.listing_id}: {gap}" for gap in result.gaps]
        except _Incomplete as error:
            reading.notes.append(str(error))
            result = error.listing
            if result.listing_id in reading.known:
                # The known state counts until the hub answers: a failed request is no change.
                reading.unchanged.append(result.listing_id)
                self._asking.discard(result.listing_id)
                result = None
        except HubError as error:
            self._failed = self._failed or error
            return None, True
        if page_arrived and result is None:
            # A hub without a single page is empty.
            self._finish(reading)
            return None, True
        if page_arrived:
            reading.page = result
            self._sort(pool, reading)
        else:
            reading.waiting -= 1
            if result is not None:
                reading.fresh.append(result)
        if reading.waiting:
            return None, False
        step = self._commit(reading)
        ended = reading.page is None or reading.page.cursor is None
        if not ended and self._failed is None:
            self._ask_for_page(pool, reading)
        return step, ended or self._failed is not None

    def _sort(self, pool: ThreadPoolExecutor, reading: _Reading) -> None:
        """Separate new listings from unchanged ones, and request what the new ones lack."""
        page = reading.page
        listings = {listing.listing_id: listing for listing in (page.listings if page else ())}
        known = reading.known = self.store.known(self.hub.name, list(listings), self.place)
        for listing_id, listing in listings.items():
            before = known.get(listing_id)
            was_read = before is not None and before.sweep_id == self.step.sweep_id
            if was_read or listing_id in self._asking:
                continue
            # A listing known from another address is requested again, because the addresses of
            # its files belong to that place.
            unchanged = (
                before is not None
                and before.sweep_id is not None
                and before.state == str(listing.standing)
                and before.revision == listing.revision
            )
            if listing.complete:
                reading.fresh.append(listing)
            elif unchanged and listing.revision is not None:
                reading.unchanged.append(listing_id)
            else:
                reading.waiting += 1
                self._asking.add(listing_id)
                self._ask(pool.submit(_completed, self.hub, listing), reading)

    def _commit(self, reading: _Reading) -> SweepStep:
        page, now, sweep_id = reading.page, self.clock(), self.step.sweep_id
        with self.store.transaction():
            # Another partition may have brought the same listing in the meantime.
            ids = [*(listing.listing_id for listing in reading.fresh), *reading.unchanged]
            known = self.store.known(self.hub.name, ids, self.place)
            done = {id_ for id_, before in known.items() if before.sweep_id == sweep_id}
            in_order = page.listings if page else ()
            order = {listing.listing_id: number for number, listing in enumerate(in_order)}
            fresh = [listing for listing in reading.fresh if listing.listing_id not in done]
            fresh.sort(key=lambda listing: order[listing.listing_id])
            unchanged = [listing_id for listing_id in reading.unchanged if listing_id not in done]
            events = self.store.see(fresh, self.place, sweep_id, now, first=self.first)
            self.store.touch(self.hub.name, unchanged, self.place, sweep_id)
            count = self.step.listings + len(fresh) + len(unchanged)
            notes = (*(page.notes if page else ()), *reading.notes)
            self.step = SweepStep(
                sweep_id, self.step.pages + 1, count, tuple(events), notes, before=self.step.before
            )
            advance(self.store, sweep_id, reading.number, page, reading.asked_at)
            self.store.db.execute(
                "update sweeps set pages = ?, listings = ? where sweep_id = ?",
                [self.step.pages, self.step.listings, sweep_id],
            )
        reading.asked_at = page.cursor if page else None
        self._asking.difference_update(listing.listing_id for listing in reading.fresh)
        return self.step

    def _finish(self, reading: _Reading) -> None:
        with self.store.transaction():
            advance(self.store, self.step.sweep_id, reading.number, None, reading.asked_at)


def _completed(hub: Hub, listing: Listing) -> Listing:
    """A listing with everything that the hub offers.

    Raises:
        _Incomplete: the hub refused a request. The listing is kept and requested again next time.
    """
    try:
        whole = replace(hub.complete(listing), listing_id=listing.listing_id, complete=True)
        return replace(whole, revision=None) if whole.gaps else whole
    except (HubError, *ODD_SHAPES) as error:
        problem = str(error) if isinstance(error, HubError) else f"{type(error).__name__}: {error}"
        note = f"{listing.listing_id} cannot be read whole: {problem}"
        raise _Incomplete(note, replace(listing, complete=True, revision=None)) from error


class _Incomplete(HubError):
    """The hub did not deliver all parts of a listing."""

    def __init__(self, note: str, listing: Listing) -> None:
        super().__init__(note)
        self.listing = listing
