"""The scan: lists targets and runs every listed file through the pipeline."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

from crawlers.errors import ListingIncomplete
from crawlers.http.destinations import refuse_credentials
from crawlers.listing import Hub, Listing, listings_of
from crawlers.sweeps.query import likely
from crawlers.sweeps.sweep import sweep
from scanner.casework.derived_listings import derived_listings
from scanner.progress import Progress
from scanner.scanning.item_store import ScanRow
from scanner.scanning.pipeline import Pipeline
from scanner.scanning.scan_result import ScanResult, result_of
from scanner.scanning.session import ScanSession

LISTINGS_AT_ONCE = 100


def run_scan(session: ScanSession, targets: Sequence[str], progress: Progress) -> ScanResult:
    """Scan paths, URLs or hubs, or continue an unfinished scan of the same targets and settings.

    Raises:
        CrawlError: a target cannot be listed at all.
        FaceIndexError: the face pack cannot be used.
    """
    for target in targets:
        refuse_credentials(target)
    listings = _all_listings(session, targets, progress)
    return scan_listings(session, " ".join(targets), listings, progress)


def scan_listings(
    session: ScanSession,
    target: str,
    listings: Iterable[Listing],
    progress: Progress,
    *,
    supplied_by_caller: bool = False,
    list_again: bool = False,
) -> ScanResult:
    """Scan listings, or continue an unfinished scan with the same target and settings.

    Args:
        target: name of the scan.
        listings: not read if an earlier run has stored all of them.
        list_again: read them even then, because they are others.
        supplied_by_caller: the caller supplied the files and their listings
            (scanner.scanning.pipeline).

    Raises:
        FaceIndexError: the face pack cannot be used.
    """
    # A target of uploads belongs to one job, which one worker runs.
    alone = nullcontext() if supplied_by_caller else session.scan_store.alone_with(target)
    with alone:
        return _scan(
            session,
            target,
            listings,
            progress,
            supplied_by_caller=supplied_by_caller,
            list_again=list_again,
        )


def _scan(
    session: ScanSession,
    target: str,
    listings: Iterable[Listing],
    progress: Progress,
    *,
    supplied_by_caller: bool,
    list_again: bool,
) -> ScanResult:
    now, started = session.clock(), time.monotonic()
    scan_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    snapshot = session.take_snapshot()
    store = session.scan_store
    scan = store.begin(
        scan_id, target, session.search_key(snapshot).digest, len(snapshot.gallery), now
    )
    is_listed = scan.listed_at and not list_again
    gaps = () if is_listed else _list(session, scan, listings, progress)
    pipeline = Pipeline(session, scan, progress, supplied_by_caller=supplied_by_caller)
    pipeline.run()
    if pipeline.totals.drawn_files:
        session.erase_expired()  # what was drawn may exceed the budget
    if not gaps:
        version = session.take_snapshot().gallery_version
        store.mark_finished(scan.scan_id, session.clock(), version)
    totals = replace(pipeline.totals, seconds=round(time.monotonic() - started, 2))
    return replace(result_of(session, scan.scan_id), gaps=gaps, totals=totals)


def _list(
    session: ScanSession, scan: ScanRow, listings: Iterable[Listing], progress: Progress
) -> tuple[str, ...]:
    """Store the listed files and return the gaps; after a gap the next run lists again."""
    count, waiting = 0, list[Listing]()
    items = session.scan_store.items
    try:
        for listing in listings:
            waiting.append(listing)
            if len(waiting) >= LISTINGS_AT_ONCE:
                # `add` leaves out the hub's raw answer, which is stored in crawl.db.
                items.add(scan, waiting)
                waiting.clear()
            count += len(listing.files)
            progress.step(count, None, listing.title)
    except ListingIncomplete as error:
        return (str(error),)
    finally:
        items.add(scan, waiting)
    session.scan_store.mark_listed(scan.scan_id, session.clock())
    return ()


def _all_listings(
    session: ScanSession, targets: Sequence[str], progress: Progress
) -> Iterator[Listing]:
    """Yield the listings of all targets; afterwards raise ListingIncomplete if one has a gap."""
    gaps: list[str] = []
    for target in targets:
        try:
            yield from _listings(session, target, progress)
        except ListingIncomplete as error:
            gaps.append(str(error))
    if gaps:
        raise ListingIncomplete("; ".join(gaps))


def _listings(session: ScanSession, target: str, progress: Progress) -> Iterator[Listing]:
    """Yield the listings of a target; those of a hub pass through crawl.db.

    Listings with files that come from a confirmed case come first, then the likeliest likenesses.
    """
    hub: Hub = session.hubs.open(target)
    if hub.name in ("folder", "url"):
        yield from listings_of(hub)
        return
    gaps: tuple[str, ...] = ()
    workers = session.options.workers
    for step in sweep(hub, target, session.crawl, session.clock, workers=workers):
        progress.step(step.listings, None, f"listing {target}")
        gaps = step.gaps
    first = {
        place: listing
        for place in derived_listings(session.crawl, session.case_store)
        if target in session.crawl.places_of(*place)
        for listing in session.crawl.newest(*place)
    }
    yield from first.values()
    for listing in likely(session.crawl, target):
        if (listing.hub, listing.listing_id) not in first:
            yield listing
    if gaps:
        raise ListingIncomplete("; ".join(gaps))
