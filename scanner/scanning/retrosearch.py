"""The search for people who registered, in everything that was drawn before.

Most files show nobody new: their results are carried on to the present gallery without drawing
anything. Files in which somebody comes near, or whose findings change, go through the pipeline of a
scan, which draws what is missing and files cases.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from crawlers.listing import Listing
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import NEEDS_A_LOOK, Outcome
from scanner.progress import Progress
from scanner.scanning.scan import ReportedRow, case_ids_of, scan_listings
from scanner.scanning.searched_file_store import JudgedFile, Retrosearch
from scanner.scanning.session import ScanSession
from scanner.scanning.totals import ScanTotals

TARGET = "retrosearch"
FILES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class RetrosearchResult:
    """What a retrosearch has done.

    Attributes:
        gallery_version: version of the gallery that was searched.
        files: number of different files that were searched.
        unsearched: number of files without kept samples, which must be scanned again.
        rows: results of the files that were scanned, because somebody came near or findings
            changed.
        totals: what was drawn.
    """

    gallery_version: int
    files: int
    unsearched: int
    rows: tuple[ReportedRow, ...]
    totals: ScanTotals

    @property
    def unconfirmed(self) -> int:
        """Number of files in which somebody comes near, and which could not be drawn again."""
        failed = (one.row.sha256 for one in self.rows if one.row.outcome == Outcome.FAILED)
        return len(set(failed))

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases that the findings belong to, each once."""
        return case_ids_of(self.rows)

    @property
    def has_findings(self) -> bool:
        """Whether there is an open finding."""
        return any(row.is_open for row in self.rows)


def retrosearch(
    session: ScanSession, progress: Progress, *, draw_missing: bool = False
) -> RetrosearchResult:
    """Search everybody who is registered in what was drawn before.

    It does nothing for files that were searched in the present gallery. If it is stopped, the next
    call goes on.

    Args:
        draw_missing: also scan files of which no samples are kept.
    """
    began, started_at = time.monotonic(), session.clock().isoformat()
    snapshot = session.take_snapshot()
    version, search_key = snapshot.gallery_version, session.search_key(snapshot).digest
    store = session.scan_store.searched
    stale = list(store.stale(search_key))
    scanned: list[JudgedFile] = []
    unsearched = done = 0
    for part in _parts(stale):
        carried: list[JudgedFile] = []
        for file, state in _states(session, snapshot, part):
            if state == "carried":
                carried.append(file)
            elif state == "changed" or draw_missing:
                scanned.append(file)
            else:
                unsearched += 1
        store.carry(carried, search_key, version, session.clock())
        done += len(part)
        progress.step(done, len(stale), TARGET)
    files = len(stale) - unsearched
    rows, totals = _scan(session, scanned, progress)
    finished_at = session.clock().isoformat()
    store.note(Retrosearch(search_key, version, files, unsearched, started_at, finished_at))
    totals = replace(totals, files=files, seconds=round(time.monotonic() - began, 2))
    return RetrosearchResult(version, files, unsearched, rows, totals)


def _parts(files: Sequence[JudgedFile]) -> Iterator[list[JudgedFile]]:
    rest = iter(files)
    while part := list(islice(rest, FILES_AT_ONCE)):
        yield part


def _sampling_keys(session: ScanSession, file: JudgedFile) -> list[str]:
    """Return the keys of the samples that a file's results rest on, with those of its members."""
    members = {row.sha256 for row in file.rows if row.sha256}
    return [
        key
        for sha256 in members
        for key in session.scan_store.searched.sampling_keys(sha256, file.search_key)
    ]


def _states(
    session: ScanSession, snapshot: GallerySnapshot, files: Sequence[JudgedFile]
) -> Iterator[tuple[JudgedFile, str]]:
    """Yield files with "carried", "changed" or "missing"."""
    keys = {file.sha256: _sampling_keys(session, file) for file in files}
    wanted = [key for own in keys.values() for key in own]
    decided = session.kept.findings(wanted, snapshot)
    for file in files:
        own = keys[file.sha256]
        if all(row.reason == NEEDS_A_LOOK for row in file.rows):
            yield file, "carried"
        elif not own:
            # A file that could not be drawn shows nobody, whoever registers.
            failed = all(row.outcome == Outcome.FAILED for row in file.rows)
            yield file, "carried" if failed else "missing"
        elif not all(session.kept.store.has(key) for key in own):
            yield file, "missing"
        elif any(key not in decided for key in own):
            yield file, "changed"
        else:
            now = {
                (identity_id, outcome)
                for key in own
                for identity_id, outcome in decided[key]
                if session.filing.is_registered(identity_id)
            }
            before = {(row.identity_id, row.outcome) for row in file.rows if row.identity_id}
            yield file, "carried" if now == before else "changed"


def _scan(
    session: ScanSession, files: Iterable[JudgedFile], progress: Progress
) -> tuple[tuple[ReportedRow, ...], ScanTotals]:
    """Scan the listings of files again.

    Uploads keep their target, by which the gate knows the account that sent them.
    """
    by_target: dict[tuple[str, bool], list[Listing]] = defaultdict(list)
    for file in files:
        for listed in session.scan_store.searched.listings(file):
            declared = listed.listing.declared
            part = listed.listing.files[listed.file_number]
            if not part.url.startswith(("http://", "https://")):
                # If the file is gone, its kept samples still tell whether somebody comes near.
                part = replace(part, sha256=part.sha256 or file.sha256)
            listing = replace(listed.listing, files=(part,))
            by_target[listed.target if declared else TARGET, declared].append(listing)
    rows: list[ReportedRow] = []
    totals = ScanTotals()
    for (target, declared), listings in by_target.items():
        result = scan_listings(session, target, listings, progress, supplied_by_caller=declared)
        rows += result.rows
        totals = totals.plus(result.totals)
    return tuple(rows), totals
