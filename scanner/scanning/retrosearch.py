"""The search for people who registered, in everything that was drawn before.

Most files show nobody new: their results are carried on to the present gallery without drawing
anything. Files in which somebody comes near, or whose findings change, go through the pipeline of a
scan, which draws what is missing and files cases.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter

from crawlers.listing import Listing
from scanner.identification.outcome import Outcome
from scanner.progress import Progress
from scanner.records import ResultRow
from scanner.scanning.file_faces import is_near_and_gone
from scanner.scanning.item_store import ScanRow
from scanner.scanning.result_check import ResultState, check_results
from scanner.scanning.scan import scan_listings
from scanner.scanning.scan_result import ReportedRows, case_ids_of
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
        unsearched: number of files without kept samples, which must be scanned again, and of those
            that are gone.
        rows: results of the files that were scanned, because somebody came near or findings
            changed.
        totals: what was drawn.
    """

    gallery_version: int
    files: int
    unsearched: int
    rows: ReportedRows
    totals: ScanTotals

    @property
    def unconfirmed(self) -> int:
        """Number of files in which somebody comes near, and which could not be drawn again."""
        return len({one.row.sha256 for one in self.rows if is_near_and_gone(one.row)})

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases that the findings belong to, each once."""
        return case_ids_of(self.rows.findings())

    @property
    def has_findings(self) -> bool:
        """Whether there is an open finding."""
        return any(row.is_open for row in self.rows.findings())


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
    total = store.count_stale(search_key)
    scanned: list[JudgedFile] = []
    searched: set[str] = set()
    unsearched: set[str] = set()
    done = 0
    for part in _parts(store.stale(search_key)):
        carried: list[JudgedFile] = []
        for found in check_results(session, snapshot, part):
            if found.is_searched:
                searched.add(found.file.sha256)
            if found.state == ResultState.CARRIED:
                carried.append(found.file)
            elif found.state == ResultState.CHANGED or draw_missing:
                scanned.append(replace(found.file, rows=()))
            else:
                unsearched.add(found.file.sha256)
        store.carry(carried, search_key, version, session.clock())
        done += len(part)
        progress.step(done, max(done, total), TARGET)
    rows, totals = _scan(session, scanned, search_key, progress)
    # Members of an archive that cannot be drawn have hashes of their own.
    gone = {one.row.sha256 or "" for one in rows if _is_gone(one.row)}
    unsearched |= gone & {file.sha256 for file in scanned}
    searched -= unsearched
    finished_at = session.clock().isoformat()
    files = len(searched)
    store.note(Retrosearch(search_key, version, files, len(unsearched), started_at, finished_at))
    totals = replace(totals, files=files, seconds=round(time.monotonic() - began, 2))
    return RetrosearchResult(version, files, len(unsearched), rows, totals)


def _is_gone(row: ResultRow) -> bool:
    """Whether a file could not be scanned again, and nobody comes near in kept samples."""
    return row.outcome == Outcome.FAILED and not is_near_and_gone(row)


def _parts(files: Iterator[JudgedFile]) -> Iterator[list[JudgedFile]]:
    while part := list(islice(files, FILES_AT_ONCE)):
        yield part


def _scan(
    session: ScanSession, files: Iterable[JudgedFile], search_key: str, progress: Progress
) -> tuple[ReportedRows, ScanTotals]:
    """Scan the listings of files again.

    Uploads keep their target, by which the gate knows the account that sent them. Other bytes
    that a listing had under the same name are scanned apart, because a scan has one item for each
    name.
    """
    by_target: dict[tuple[str, bool, int], list[JudgedFile]] = defaultdict(list)
    turns: Counter[tuple[str, str]] = Counter()
    for file in files:
        listed = session.scan_store.searched.listed(file)
        declared = listed.listing.declared
        target = listed.target if declared else TARGET
        by_target[target, declared, turns[target, file.item_key]].append(file)
        turns[target, file.item_key] += 1
    # What a retrosearch that was stopped has found is reported by the next one.
    if session.scan_store.unfinished(TARGET, search_key) is not None:
        by_target[TARGET, False, 0] += []
    scans: list[ScanRow] = []
    totals = ScanTotals()
    for (target, declared, _), changed in sorted(by_target.items(), key=itemgetter(0)):
        listings = (_listing(session, file) for file in changed)
        result = scan_listings(
            session,
            target,
            listings,
            progress,
            supplied_by_caller=declared,
            list_again=True,
        )
        scans.append(result.scan)
        totals = totals.plus(result.totals)
    return ReportedRows(session, tuple(scans)), totals


def _listing(session: ScanSession, file: JudgedFile) -> Listing:
    """Return the listing of a file with this file only."""
    listed = session.scan_store.searched.listed(file)
    part = listed.listing.files[listed.file_number]
    # If the file is gone, its kept samples still tell whether somebody comes near.
    part = replace(part, sha256=file.sha256)
    return replace(listed.listing, files=(part,))
