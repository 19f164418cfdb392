"""The scan: lists targets and runs every listed file through the pipeline."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from crawlers.errors import ListingIncomplete
from crawlers.http.destinations import refuse_credentials
from crawlers.listing import Hub, Listing, listings_of
from crawlers.sweeps.query import likely
from crawlers.sweeps.sweep import sweep
from face_index.errors import UnknownIdentity
from face_index.vault import Vault
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.verdict import Outcome
from scanner.progress import Progress
from scanner.records import ResultRow
from scanner.scanning.item_store import ScanRow
from scanner.scanning.pipeline import Pipeline
from scanner.scanning.session import ScanSession
from scanner.scanning.totals import ScanTotals

_LISTINGS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class ReportedRow:
    """A result row in its present state, with the name of the person.

    Attributes:
        identity: name of the person; None without a finding, or after a withdrawal without a case.
        case_status: present status of the case; None without a case.
    """

    row: ResultRow
    identity: str | None
    case_status: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the row is a finding that is neither rejected nor authorised."""
        decided = self.case_status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED)
        is_finding = self.row.outcome in (Outcome.MATCH, Outcome.POSSIBLE)
        return is_finding and not self.row.authorised and not decided

    def to_json(self) -> dict[str, Any]:
        """Return the row in the JSON contract of `scan`."""
        record = self.row.to_json()
        del record["identity_id"]
        record["identity"] = self.identity
        record["searched_through"] = self.row.gallery_version
        if self.case_status is not None:
            record["case_status"] = self.case_status
        return record


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan whose items all have a verdict, with its rows in the order of the listing.

    Attributes:
        gaps: why listings may be missing, as sentences; a scan with a gap is not finished.
        totals: what this run has done; nothing for a scan that was read from the store.
    """

    scan: ScanRow
    rows: tuple[ReportedRow, ...]
    gaps: tuple[str, ...] = ()
    totals: ScanTotals = field(default_factory=ScanTotals)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases that its findings belong to, each once."""
        return case_ids_of(self.rows)

    @property
    def has_findings(self) -> bool:
        """Whether there is an open finding; authorised uses and rejected findings do not count."""
        return any(reported.is_open for reported in self.rows)

    def to_json_rows(self) -> list[dict[str, Any]]:
        """Return the rows in the JSON contract of `scan`."""
        return [reported.to_json() for reported in self.rows]


def case_ids_of(rows: Iterable[ReportedRow]) -> tuple[str, ...]:
    """Return the ids of the cases that rows belong to, each once."""
    case_ids = (reported.row.case_id for reported in rows)
    return tuple(dict.fromkeys(case_id for case_id in case_ids if case_id))


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
) -> ScanResult:
    """Scan listings, or continue an unfinished scan with the same target and settings.

    Args:
        target: name of the scan.
        listings: not read if an earlier run has stored all of them.
        supplied_by_caller: the caller supplied the files and their listings
            (scanner.scanning.pipeline).

    Raises:
        FaceIndexError: the face pack cannot be used.
    """
    # A target of uploads belongs to one job, which one worker runs.
    alone = nullcontext() if supplied_by_caller else session.scan_store.alone_with(target)
    with alone:
        return _scan(session, target, listings, progress, supplied_by_caller=supplied_by_caller)


def _scan(
    session: ScanSession,
    target: str,
    listings: Iterable[Listing],
    progress: Progress,
    *,
    supplied_by_caller: bool,
) -> ScanResult:
    now, started = session.clock(), time.monotonic()
    scan_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    snapshot = session.take_snapshot()
    store = session.scan_store
    scan = store.begin(
        scan_id, target, session.search_key(snapshot).digest, len(snapshot.gallery), now
    )
    gaps = () if scan.listed_at else _list(session, scan, listings, progress)
    pipeline = Pipeline(session, scan, progress, supplied_by_caller=supplied_by_caller)
    pipeline.run()
    if pipeline.totals.drawn_files:
        session.erase_expired()  # what was drawn may exceed the budget
    if not gaps:
        store.mark_finished(scan.scan_id, session.clock())
    totals = replace(pipeline.totals, seconds=round(time.monotonic() - started, 2))
    return replace(result_of(session, scan.scan_id), gaps=gaps, totals=totals)


def result_of(session: ScanSession, scan_id: str) -> ScanResult:
    """Return the rows of a scan in their present state.

    They contain the names of people who are registered or have a case.
    """
    scan = session.scan_store.scan(scan_id)
    rows = [row for item in session.scan_store.items.of_scan(scan) for row in item.rows or ()]
    standings = session.case_store.standings({row.case_id for row in rows if row.case_id})
    names = {
        identity_id: _name_of(session.vault, identity_id)
        for identity_id in {row.identity_id for row in rows}
    }
    return ScanResult(scan, tuple(_present_state(row, standings, names) for row in rows))


def _name_of(vault: Vault, identity_id: str | None) -> str | None:
    try:
        return vault.people.find(identity_id).name if identity_id else None
    except UnknownIdentity:
        return None  # the person has withdrawn


def _present_state(
    row: ResultRow, standings: dict[str, Standing], names: dict[str | None, str | None]
) -> ReportedRow:
    standing = standings.get(row.case_id or "")
    if standing is None:
        return ReportedRow(row, names[row.identity_id])
    row = replace(row, case_id=standing.case_id)
    return ReportedRow(row, standing.identity_name, standing.status)


def _list(
    session: ScanSession, scan: ScanRow, listings: Iterable[Listing], progress: Progress
) -> tuple[str, ...]:
    """Store the listed files and return the gaps; after a gap the next run lists again."""
    count, waiting = 0, list[Listing]()
    items = session.scan_store.items
    try:
        for listing in listings:
            waiting.append(listing)
            if len(waiting) >= _LISTINGS_AT_ONCE:
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
    """Yield the listings of a target; those of a hub pass through crawl.db, the likeliest first."""
    hub: Hub = session.hubs.open(target)
    if hub.name in ("folder", "url"):
        yield from listings_of(hub)
        return
    gaps: tuple[str, ...] = ()
    workers = session.options.workers
    for step in sweep(hub, target, session.crawl, session.clock, workers=workers):
        progress.step(step.listings, None, f"listing {target}")
        gaps = step.gaps
    yield from likely(session.crawl, target)
    if gaps:
        raise ListingIncomplete("; ".join(gaps))
