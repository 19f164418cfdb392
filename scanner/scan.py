"""The scan: listing, fetching, triage, examination, cases. The one place where the stages meet."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from crawlers.catalog import hub_for
from crawlers.errors import CrawlError
from crawlers.listing import Listing, RemoteFile, listing_from_dict, listings_of
from scanner.adapters.families import ADAPTER_KINDS
from scanner.case_files import file_cases, verdict_record
from scanner.errors import BaseModelMissing, NotScannable
from scanner.ledger import Item, ScanRow
from scanner.safety import refuse_minors, usable_triggers
from scanner.triage import Triage, triage_file
from scanner.verdict import Outcome
from scanner.workshop import Workshop

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Told of every step, to draw a progress bar from."""

    def step(self, done: int, total: int | None, doing: str) -> None:
        """`done` of `total` files are judged; `total` is None while listing goes on."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A finished scan: rows as in the JSON contract, in the order of the listing."""

    scan: ScanRow
    rows: tuple[dict[str, Any], ...]

    @property
    def has_findings(self) -> bool:
        return any(row["outcome"] in (Outcome.MATCH, Outcome.POSSIBLE) and not row["authorised"] for row in self.rows)


def run_scan(workshop: Workshop, targets: Sequence[str], observer: Observer) -> ScanResult:
    """Scan paths, URLs or hubs; an unfinished scan of the same targets and settings is continued.

    Raises:
        CrawlError: a target cannot be listed at all.
        FaceIndexError: the face pack cannot be used.
    """
    now = workshop.clock()
    scan_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    target = " ".join(targets)
    scan = workshop.ledger.begin(scan_id, target, workshop.fingerprint, len(workshop.gallery), now)
    if scan.listed_at is None:
        _list(workshop, scan.scan_id, targets, observer)
    items = list(workshop.ledger.items(scan.scan_id))
    for done, item in enumerate(items):
        observer.step(done, len(items), item.listing["files"][item.file_number]["name"])
        if item.state != "judged":
            _bring_to_verdict(workshop, scan, item)
    observer.step(len(items), len(items), "")
    workshop.ledger.mark_finished(scan.scan_id, workshop.clock())
    return result_of(workshop, scan.scan_id)


def result_of(workshop: Workshop, scan_id: str) -> ScanResult:
    """The rows of a scan as the ledger holds them."""
    scan = workshop.ledger.scan(scan_id)
    rows = [row for item in workshop.ledger.items(scan.scan_id) if item.verdict for row in item.verdict["rows"]]
    return ScanResult(scan, tuple(rows))


def _list(workshop: Workshop, scan_id: str, targets: Sequence[str], observer: Observer) -> None:
    count = 0
    for target in targets:
        for listing in listings_of(hub_for(target, workshop.transport)):
            if listing.hub not in ("folder", "url"):
                workshop.crawl.record(listing, workshop.clock())
            for number, file in enumerate(listing.files):
                # The raw response stays in crawl.db; here only what the scan needs.
                workshop.ledger.add_item(
                    scan_id, f"{listing.hub}:{listing.listing_id}:{file.name}", asdict(replace(listing, raw="")), number
                )
                count += 1
                observer.step(count, None, listing.title)
    workshop.ledger.mark_listed(scan_id, workshop.clock())


def _bring_to_verdict(workshop: Workshop, scan: ScanRow, item: Item) -> None:
    started = time.monotonic()
    listing, ledger = listing_from_dict(item.listing), workshop.ledger
    file = listing.files[item.file_number]
    sha256 = file.sha256
    try:
        refuse_minors([listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag)
        stored = workshop.checkpoints.obtain(workshop.transport, file)
        sha256 = stored.sha256
        ledger.move(scan.scan_id, item.item_key, "fetched", sha256=stored.sha256)
        triage = triage_file(stored.path)
        ledger.move(scan.scan_id, item.item_key, "triaged", triage=asdict(triage))
        record = _judge(workshop, stored.path, listing, triage, started)
        rows = file_cases(workshop, scan, listing, file, triage, record)
    except (CrawlError, NotScannable, BaseModelMissing) as error:
        rows = [_failed_row(file, sha256, str(error), time.monotonic() - started)]
    ledger.move(scan.scan_id, item.item_key, "judged", verdict={"rows": rows})


def _judge(workshop: Workshop, path: Path, listing: Listing, triage: Triage, started: float) -> dict[str, Any]:
    """The verdict on these bytes: remembered from before, or found out now and then remembered."""
    triggers = usable_triggers([*listing.triggers, *triage.triggers])
    key = hashlib.sha256(f"{workshop.fingerprint} {triggers}".encode()).hexdigest()
    sha256 = triage.sha256 or ""
    known = workshop.ledger.known_verdict(sha256, key)
    if known is not None:
        return known
    try:
        _must_be_scannable(triage)
        refuse_minors(triage.triggers, flagged_by_hub=False)
        examiner, sampler = workshop.examiner_for(triage.family)
        examination = examiner.examine(path, sha256, triage.kind, triggers)
        record = verdict_record(workshop, sampler, examination, time.monotonic() - started)
    except NotScannable as error:
        record = {
            "outcome": Outcome.FAILED, "reason": str(error), "best_score": None, "best_threshold": None, "lift": None, "samples": 0,
            "seconds": round(time.monotonic() - started, 2), "findings": [], "method": {},
        }  # fmt: skip
    workshop.ledger.remember_verdict(sha256, key, record, workshop.clock())
    return record


def _must_be_scannable(triage: Triage) -> None:
    if not triage.readable or triage.kind not in ADAPTER_KINDS:
        told = "; ".join(triage.problems)
        raise NotScannable(
            told or f"sampling {triage.kind} files is not supported yet; nothing can be said about this file"
        )


def _failed_row(file: RemoteFile, sha256: str | None, reason: str, seconds: float) -> dict[str, Any]:
    return {
        "file": file.name, "sha256": sha256, "outcome": str(Outcome.FAILED), "identity": None, "score": None,
        "threshold": None, "lift": None, "samples": 0, "seconds": round(seconds, 2), "reason": reason,
        "gallery_version": None, "authorised": None,
    }  # fmt: skip
