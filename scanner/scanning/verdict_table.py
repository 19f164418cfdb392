"""The table of all verdicts of all scans, for exports and statistics."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.casework.exports import VerdictRow
from scanner.scanning.scan_store import ScanStore


def verdict_rows(scan_store: ScanStore) -> Iterator[VerdictRow]:
    """Yield every result of every scan, the oldest scan first."""
    for scan in scan_store.scans():
        for item in scan_store.items(scan.scan_id):
            for row in item.rows or ():
                yield VerdictRow(
                    scan_id=scan.scan_id,
                    judged_in=scan.started_at,
                    target=scan.target,
                    hub=item.listing.hub,
                    listing_id=item.listing.listing_id,
                    file=row.file,
                    sha256=row.sha256,
                    outcome=row.outcome,
                    identity_id=row.identity_id,
                    score=row.score,
                    threshold=row.threshold,
                    lift=row.lift,
                    samples=row.samples,
                    seconds=row.seconds,
                    gallery_version=row.gallery_version,
                    authorised=row.authorised,
                    case_id=row.case_id,
                    reason=row.reason,
                )
