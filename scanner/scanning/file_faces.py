"""Kept faces of a listed file: their destruction, and what they tell once the file is gone."""

from __future__ import annotations

from pathlib import Path

from crawlers.hashes import sha256_of
from crawlers.listing import RemoteFile
from reports.reasons.reason import Reason, parse_reasons
from scanner.identification.outcome import Outcome
from scanner.records import ResultRow
from scanner.scanning.session import ScanSession
from scanner.scanning.weights_files import is_elsewhere


def destroy_faces(session: ScanSession, item_key: str, file: RemoteFile) -> None:
    """Destroy the faces of all bytes that a listed file has or had, and of members of archives.

    Args:
        item_key: of the file in scans.db.
    """
    searched = session.scan_store.searched
    found = searched.bytes_of_item(item_key)
    if file.sha256 is not None:
        found.add(file.sha256)
    if not is_elsewhere(file) and (path := Path(file.url)).is_file():
        found.add(sha256_of(path))
    for sha256 in list(found):
        found |= searched.members(sha256)
    for sha256 in found:
        session.kept.store.destroy_file(sha256)


def why_failed(session: ScanSession, error: Exception, sha256: str | None) -> str:
    """Return why a file cannot be had, and whether its kept samples come near somebody."""
    reason = str(error)
    if sha256 is None:
        return reason
    snapshot = session.take_snapshot()
    for one in sorted({sha256} | session.scan_store.searched.members(sha256)):
        if session.kept.may_show_somebody(one, snapshot):
            return Reason("near-and-gone", {"cause": reason}).in_english()
    return reason


def is_near_and_gone(row: ResultRow) -> bool:
    """Whether a file is gone, and samples that were drawn before come near somebody."""
    if row.outcome != Outcome.FAILED:
        return False  # known without reading the reason, which every row of a scan would cost
    return any(reason.code == "near-and-gone" for reason in parse_reasons(row.reason))
