"""The scan: listing, then everything listed brought to a verdict (scanner.scanning.pipeline)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crawlers.errors import ListingIncomplete
from crawlers.http.destinations import refuse_credentials
from crawlers.listing import Hub, Listing, listing_to_dict, listings_of
from crawlers.sweeps.query import likely
from crawlers.sweeps.sweep import sweep
from face_index.errors import UnknownIdentity
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.verdict import Outcome
from scanner.scanning.pipeline import Observer, Pipeline
from scanner.scanning.scan_store import ScanRow
from scanner.scanning.session import ScanSession

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan whose items are all judged: rows as in the JSON contract, in the order of the listing.

    Attributes:
        gaps: why listings may be missing from it, in sentences. Such a scan is not finished.
    """

    scan: ScanRow
    rows: tuple[dict[str, Any], ...]
    gaps: tuple[str, ...] = ()

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases that its findings belong to, each once."""
        return tuple(dict.fromkeys(row["case_id"] for row in self.rows if row.get("case_id")))

    @property
    def has_findings(self) -> bool:
        """Whether anything is left to act on: what was authorised or what a reviewer rejected is not."""
        return any(
            _is_open(row)
            for row in self.rows
            if row["outcome"] in (Outcome.MATCH, Outcome.POSSIBLE)
        )


def _is_open(row: dict[str, Any]) -> bool:
    return not row["authorised"] and row.get("case_status") not in (
        CaseStatus.REJECTED,
        CaseStatus.AUTHORISED,
    )


def run_scan(scan_session: ScanSession, targets: Sequence[str], observer: Observer) -> ScanResult:
    """Scan paths, URLs or hubs; an unfinished scan of the same targets and settings is continued.

    Raises:
        CrawlError: a target cannot be listed at all.
        FaceIndexError: the face pack cannot be used.
    """
    for target in targets:
        refuse_credentials(target)
    return scan_listings(
        scan_session, " ".join(targets), _all_listings(scan_session, targets, observer), observer
    )


def scan_listings(
    scan_session: ScanSession,
    target: str,
    listings: Iterable[Listing],
    observer: Observer,
    *,
    brought: bool = False,
) -> ScanResult:
    """Scan what is listed already; `target` names it, so that the same scan is continued after a stop.

    Args:
        listings: read only where they were not all written down before.
        brought: a caller brought the files and the words about them (scanner.scanning.pipeline).

    Raises:
        FaceIndexError: the face pack cannot be used.
    """
    now = scan_session.clock()
    scan_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    watch = scan_session.watch
    scan = scan_session.scan_store.begin(
        scan_id, target, scan_session.fingerprint_of(watch), len(watch.gallery), now
    )
    gaps = _list(scan_session, scan.scan_id, listings, observer) if scan.listed_at is None else ()
    Pipeline(
        scan_session,
        scan,
        list(scan_session.scan_store.items(scan.scan_id)),
        observer,
        brought=brought,
    ).work_off()
    if not gaps:
        scan_session.scan_store.mark_finished(scan.scan_id, scan_session.clock())
    return replace(result_of(scan_session, scan.scan_id), gaps=gaps)


def result_of(scan_session: ScanSession, scan_id: str) -> ScanResult:
    """The rows of a scan as the ledger holds them, with the names of those who are registered or whom a case is about."""
    scan = scan_session.scan_store.scan(scan_id)
    rows = [
        row
        for item in scan_session.scan_store.items(scan.scan_id)
        if item.verdict
        for row in item.verdict["rows"]
    ]
    standings = scan_session.case_store.standings(
        {row["case_id"] for row in rows if row.get("case_id")}
    )
    names = {
        identity_id: _name_of(scan_session, identity_id)
        for identity_id in {row.get("identity_id") for row in rows}
    }
    return ScanResult(scan, tuple(_as_it_stands(row, standings, names) for row in rows))


def _name_of(scan_session: ScanSession, identity_id: str | None) -> str | None:
    try:
        return scan_session.vault.find(identity_id).name if identity_id else None
    except UnknownIdentity:
        return None  # they have withdrawn


def _as_it_stands(
    row: dict[str, Any], standings: dict[str, Standing], names: dict[str | None, str | None]
) -> dict[str, Any]:
    """A row with where its case stands now, since people decide after a scan has ended, and whom it shows."""
    standing = standings.get(row.get("case_id") or "")
    named = {name: value for name, value in row.items() if name != "identity_id"}
    named["identity"] = standing.identity_name if standing else names[row.get("identity_id")]
    return (
        {**named, "case_id": standing.case_id, "case_status": standing.status}
        if standing
        else named
    )


def _list(
    scan_session: ScanSession, scan_id: str, listings: Iterable[Listing], observer: Observer
) -> tuple[str, ...]:
    """Write down what is listed; why listings may be missing, after which the next call lists again."""
    count = 0
    try:
        for listing in listings:
            for number, file in enumerate(listing.files):
                # The raw response stays in crawl.db; here only what the scan needs.
                scan_session.scan_store.add_item(
                    scan_id,
                    f"{listing.hub}:{listing.listing_id}:{file.name}",
                    listing_to_dict(listing),
                    number,
                )
                count += 1
                observer.step(count, None, listing.title)
    except ListingIncomplete as error:
        return (str(error),)
    scan_session.scan_store.mark_listed(scan_id, scan_session.clock())
    return ()


def _all_listings(
    scan_session: ScanSession, targets: Sequence[str], observer: Observer
) -> Iterator[Listing]:
    """What all targets list; raises ListingIncomplete after that, if one of them has a gap."""
    gaps: list[str] = []
    for target in targets:
        try:
            yield from _listings(scan_session, target, observer)
        except ListingIncomplete as error:
            gaps.append(str(error))
    if gaps:
        raise ListingIncomplete("; ".join(gaps))


def _listings(scan_session: ScanSession, target: str, observer: Observer) -> Iterator[Listing]:
    """What a target lists: a hub's through crawl.db, the likeliest likeness first, so that a stopped listing goes on."""
    hub: Hub = scan_session.hubs.open(target)
    if hub.name in ("folder", "url"):
        yield from listings_of(hub)
        return
    gaps: tuple[str, ...] = ()
    for step in sweep(
        hub, target, scan_session.crawl, scan_session.clock, workers=scan_session.settings.workers
    ):
        observer.step(step.listings, None, f"listing {target}")
        gaps = step.gaps
    yield from likely(scan_session.crawl, target)
    if gaps:
        raise ListingIncomplete("; ".join(gaps))
