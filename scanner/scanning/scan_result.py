"""What a scan has found: its rows in their present state, read from scans.db when they are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from face_index.errors import UnknownIdentity
from reports.cases.review import CaseStatus
from scanner.identification.outcome import FINDINGS, seriousness
from scanner.records import ResultRow
from scanner.scanning.item_store import ScanRow
from scanner.scanning.scan_rows import RowCounts, ScannedRow
from scanner.scanning.session import ScanSession
from scanner.scanning.totals import ScanTotals

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ReportedRow:
    """A result row in its present state, with the name of the person.

    Attributes:
        identity: name of the person; None without a finding, or after a withdrawal without a case.
        searched_through: version of the newest gallery for which the result held in the scan.
        case_status: present status of the case; None without a case.
    """

    row: ResultRow
    searched_through: int | None
    identity: str | None
    case_status: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the row is a finding that is neither rejected nor authorised."""
        decided = self.case_status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED)
        return self.row.outcome in FINDINGS and not self.row.authorised and not decided

    def to_json(self) -> dict[str, Any]:
        """Return the row in the JSON contract of `scan`."""
        record = self.row.to_json()
        del record["identity_id"]
        record["identity"] = self.identity
        record["searched_through"] = self.searched_through
        if self.case_status is not None:
            record["case_status"] = self.case_status
        return record


@dataclass(frozen=True, slots=True)
class ReportedRows:
    """The rows of scans, in the order of the listing.

    Each iteration reads them from scans.db, so that the memory does not grow with their number. The
    session must be open. They contain the names of people who are registered or have a case.
    """

    session: ScanSession
    scans: tuple[ScanRow, ...]

    def __iter__(self) -> Iterator[ReportedRow]:
        rows = self.session.scan_store.rows
        for scan in self.scans:
            yield from self._present(rows.of_scan(scan))

    def findings(self) -> Iterator[ReportedRow]:
        """Yield the rows that name somebody."""
        rows = self.session.scan_store.rows
        for scan in self.scans:
            yield from self._present(rows.of_scan(scan, only_findings=True))

    def open_files(self) -> int:
        """Return the number of different files with an open finding."""
        return len({found.row.sha256 for found in self.findings() if found.is_open})

    def counts(self) -> RowCounts:
        """Return the numbers of files and rows."""
        counts = [self.session.scan_store.rows.counts(scan) for scan in self.scans]
        by_outcome = Counter[str]()
        for count in counts:
            by_outcome.update(count.by_outcome)
        return RowCounts(sum(count.examined for count in counts), dict(by_outcome))

    def most_serious(self, most: int) -> list[ReportedRow]:
        """Return the most serious rows, in the order of the listing."""
        store = self.session.scan_store.rows
        found = [row for scan in self.scans for row in store.most_serious(scan, most)]
        places = [_seriousness(one.row) for one in found]
        numbers = sorted(range(len(found)), key=places.__getitem__)[:most]
        return list(self._present(found[number] for number in sorted(numbers)))

    def shown(self, most: int, total: int) -> list[ReportedRow]:
        """Return the rows that a table shows: all, or the most serious ones, these first.

        Args:
            total: number of all rows.
        """
        shown = self.most_serious(most)
        return sorted(shown, key=lambda one: _seriousness(one.row)) if total > most else shown

    def _present(self, rows: Iterable[ScannedRow]) -> Iterator[ReportedRow]:
        """Yield rows as they are now: with the names of people and the status of cases."""
        following = iter(rows)
        while page := list(islice(following, _ROWS_AT_ONCE)):
            case_ids = {one.row.case_id for one in page if one.row.case_id}
            standings = self.session.case_store.standings(case_ids)
            identity_ids = {one.row.identity_id for one in page if one.row.identity_id}
            names = {identity_id: self._name_of(identity_id) for identity_id in identity_ids}
            for one in page:
                row, through = one.row, one.searched_through
                standing = standings.get(row.case_id or "")
                if standing is None:
                    yield ReportedRow(row, through, names.get(row.identity_id or ""))
                else:
                    row = replace(row, case_id=standing.case_id)
                    yield ReportedRow(row, through, standing.identity_name, standing.status)

    def _name_of(self, identity_id: str) -> str | None:
        try:
            return self.session.vault.people.find(identity_id).name
        except UnknownIdentity:
            return None  # the person has withdrawn


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A scan whose items all have a verdict.

    Attributes:
        gaps: why listings may be missing, as sentences; a scan with a gap is not finished.
        totals: what this run has done; nothing for a scan that was read from the store.
    """

    scan: ScanRow
    rows: ReportedRows
    gaps: tuple[str, ...] = ()
    totals: ScanTotals = field(default_factory=ScanTotals)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the cases that its findings belong to, each once."""
        return case_ids_of(self.rows.findings())

    @property
    def has_findings(self) -> bool:
        """Whether there is an open finding; authorised uses and rejected findings do not count."""
        return any(reported.is_open for reported in self.rows.findings())

    def to_json_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows in the JSON contract of `scan`."""
        return (reported.to_json() for reported in self.rows)


def _seriousness(row: ResultRow) -> int:
    return seriousness(row.outcome, is_authorised=bool(row.authorised))


def case_ids_of(rows: Iterable[ReportedRow]) -> tuple[str, ...]:
    """Return the ids of the cases that rows belong to, each once."""
    case_ids = (reported.row.case_id for reported in rows)
    return tuple(dict.fromkeys(case_id for case_id in case_ids if case_id))


def result_of(session: ScanSession, scan_id: str) -> ScanResult:
    """Return a scan with its rows.

    Raises:
        UnknownScan: no scan has that id.
    """
    scan = session.scan_store.scan(scan_id)
    return ScanResult(scan, ReportedRows(session, (scan,)))
