"""The scan: listing, fetching, triage, examination, cases. The one place where the stages meet."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from crawlers.archives import Member
from crawlers.errors import CrawlError
from crawlers.listing import Hub, Listing, RemoteFile, listing_from_dict, listing_to_dict, listings_of
from crawlers.query import likely
from crawlers.sweep import sweep
from scanner.adapters.families import ADAPTER_KINDS
from scanner.case_files import file_cases, verdict_record
from scanner.errors import BaseModelMissing, NotScannable
from scanner.ledger import Item, ScanRow
from scanner.safety import refuse_minors, usable_triggers
from scanner.triage import Triage, triage_file, triage_from_dict
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
        for listing in _listings(workshop, target, observer):
            for number, file in enumerate(listing.files):
                # The raw response stays in crawl.db; here only what the scan needs.
                workshop.ledger.add_item(
                    scan_id, f"{listing.hub}:{listing.listing_id}:{file.name}", listing_to_dict(listing), number
                )
                count += 1
                observer.step(count, None, listing.title)
    workshop.ledger.mark_listed(scan_id, workshop.clock())


def _listings(workshop: Workshop, target: str, observer: Observer) -> Iterator[Listing]:
    """What a target lists: a hub's through crawl.db, the likeliest likeness first, so that a stopped listing goes on."""
    hub: Hub = workshop.hubs.open(target)
    if hub.name in ("folder", "url"):
        yield from listings_of(hub)
        return
    for step in sweep(hub, target, workshop.crawl, workshop.clock, workers=workshop.settings.workers):
        observer.step(step.listings, None, f"listing {target}")
    yield from likely(workshop.crawl, target)


def _bring_to_verdict(workshop: Workshop, scan: ScanRow, item: Item) -> None:
    started = time.monotonic()
    listing, ledger = listing_from_dict(item.listing), workshop.ledger
    file = listing.files[item.file_number]
    sha256 = file.sha256
    try:
        refuse_minors([listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag)
        known = _known_before_fetching(workshop, listing, file)
        if known is not None:
            rows = file_cases(workshop, scan, listing, file, *known)
        else:
            stored = workshop.acquisition.obtain(listing, file, ask_again=True)
            sha256 = stored.sha256
            ledger.move(scan.scan_id, item.item_key, "fetched", sha256=stored.sha256)
            rows = [
                row
                for part, path in _parts(file, stored.path, stored.members)
                for row in _rows_of(workshop, (scan, item), listing, part, path)
            ]
    except (CrawlError, NotScannable, BaseModelMissing) as error:
        rows = [_failed_row(file, sha256, str(error), time.monotonic() - started)]
    ledger.move(scan.scan_id, item.item_key, "judged", verdict={"rows": rows})


def _parts(file: RemoteFile, path: Path, members: Sequence[Member]) -> list[tuple[RemoteFile, Path]]:
    """The weights to judge: a file's own, or those an archive holds."""
    if not members:
        return [(file, path)]
    return [
        (replace(file, name=f"{file.name}: {member.name}", sha256=member.sha256), member.path) for member in members
    ]


def _rows_of(
    workshop: Workshop, place: tuple[ScanRow, Item], listing: Listing, file: RemoteFile, path: Path
) -> list[dict[str, Any]]:
    (scan, item), started = place, time.monotonic()
    try:
        triage = triage_file(path)
        workshop.ledger.move(scan.scan_id, item.item_key, "triaged", triage=asdict(triage))
        workshop.ledger.remember_triage(triage.sha256 or "", asdict(triage), workshop.clock())
        record = _judge(workshop, path, listing, triage, started)
        return file_cases(workshop, scan, listing, file, triage, record)
    except (CrawlError, NotScannable, BaseModelMissing) as error:
        return [_failed_row(file, file.sha256, str(error), time.monotonic() - started)]


def _known_before_fetching(
    workshop: Workshop, listing: Listing, file: RemoteFile
) -> tuple[Triage, dict[str, Any]] | None:
    """Triage and verdict of bytes that were judged before under their SHA-256, so that nothing has to be fetched."""
    if file.sha256 is None or not file.url.startswith(("http://", "https://")):
        return None
    remembered = workshop.ledger.known_triage(file.sha256)
    if remembered is None:
        return None
    triage = triage_from_dict(remembered)
    record = workshop.ledger.known_verdict(file.sha256, _verdict_key(workshop, listing, triage)[0])
    return None if record is None else (triage, record)


def _verdict_key(workshop: Workshop, listing: Listing, triage: Triage) -> tuple[str, list[str]]:
    """What a verdict depends on besides the bytes, as a hash, and the triggers in it."""
    triggers = usable_triggers([*listing.triggers, *triage.triggers])
    return hashlib.sha256(f"{workshop.fingerprint} {triggers}".encode()).hexdigest(), list(triggers)


def _judge(workshop: Workshop, path: Path, listing: Listing, triage: Triage, started: float) -> dict[str, Any]:
    """The verdict on these bytes: remembered from before, or found out now and then remembered."""
    key, triggers = _verdict_key(workshop, listing, triage)
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
