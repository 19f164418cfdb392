"""The result rows of one scan, read from scans.db a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlite_utils import Database

from scanner.identification.outcome import FINDINGS, SERIOUS_FIRST, Outcome
from scanner.records import ResultRow
from scanner.scanning.item_store import ScanRow

_ITEMS_AT_ONCE = 500
_OF_SCAN = "i.target = :target and i.first_scan <= :number and i.last_scan >= :number"
_ROWS = f"from items i, json_each(i.verdict, '$.rows') r where {_OF_SCAN}"
_OUTCOME = "r.value ->> '$.outcome'"
_IS_FINDING = f"{_OUTCOME} in (" + ", ".join(f"'{outcome}'" for outcome in FINDINGS) + ")"
_TURNS = " ".join(f"when '{outcome}' then {turn}" for turn, outcome in enumerate(SERIOUS_FIRST))
# An authorised use counts as clear.
_SERIOUSNESS = (
    f"case when r.value ->> '$.authorised' is null then case {_OUTCOME} {_TURNS} end "
    f"else {SERIOUS_FIRST.index(Outcome.CLEAR)} end"
)


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many results a scan has.

    Attributes:
        examined: number of different files that were examined, archives' members counted one by
            one.
        by_outcome: number of rows by outcome.
    """

    examined: int
    by_outcome: dict[str, int]

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return sum(self.by_outcome.values())


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """A result as it was in one scan.

    Attributes:
        row: with the gallery version in which it was found, at most that of the scan.
        searched_through: version of the newest gallery for which the result held in the scan; None
            if the file was not searched.
    """

    row: ResultRow
    searched_through: int | None


class ScanRows:
    """Reads the rows of a scan in the order of its listing; nothing is held in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_scan(self, scan: ScanRow, *, only_findings: bool = False) -> Iterator[ScannedRow]:
        """Yield the rows of a scan, or those that name somebody."""
        condition = _IS_FINDING if only_findings else "1"
        items = (
            f"select i.item_id from items i where {_OF_SCAN} and i.position > :last "
            f"and exists (select 1 from json_each(i.verdict, '$.rows') r where {condition}) "
            "order by i.position limit :limit"
        )
        query = (
            f"select i.position, r.value, i.searched_through {_ROWS} "
            f"and i.item_id in ({items}) and {condition} order by i.position, r.key"
        )
        last = -1
        values = {**_values(scan), "limit": _ITEMS_AT_ONCE}
        while page := self._db.execute(query, {**values, "last": last}).fetchall():
            for _, record, searched_through in page:
                yield _scanned(record, searched_through, scan)
            last = page[-1][0]

    def most_serious(self, scan: ScanRow, most: int) -> list[ScannedRow]:
        """Return the most serious rows of a scan, in the order of the listing."""
        query = (
            "select record, searched_through from (select i.position, r.key as number, "
            f"r.value as record, i.searched_through {_ROWS} "
            f"order by {_SERIOUSNESS}, i.position, r.key limit :most) order by position, number"
        )
        found = self._db.execute(query, {**_values(scan), "most": most}).fetchall()
        return [_scanned(record, searched_through, scan) for record, searched_through in found]

    def counts(self, scan: ScanRow) -> RowCounts:
        """Return the numbers of files and rows of a scan."""
        examined = self._db.execute(
            f"select count(distinct r.value ->> '$.sha256') {_ROWS} and {_OUTCOME} <> 'failed'",
            _values(scan),
        )
        outcomes = self._db.execute(
            f"select {_OUTCOME}, count(*) {_ROWS} group by 1 order by 1",
            _values(scan),
        )
        return RowCounts(int(examined.fetchone()[0]), dict(outcomes.fetchall()))


def _values(scan: ScanRow) -> dict[str, Any]:
    return {"target": scan.target, "number": scan.number}


def _scanned(record: str, searched_through: int | None, scan: ScanRow) -> ScannedRow:
    row = ResultRow.from_json(json.loads(record))
    found_in = version_in_scan(row.gallery_version, scan.gallery_version)
    if found_in is None or searched_through is None:
        return ScannedRow(replace(row, gallery_version=found_in), found_in)
    through = version_in_scan(searched_through, scan.gallery_version)
    return ScannedRow(replace(row, gallery_version=found_in), through)


def version_in_scan(version: int | None, newest: int | None) -> int | None:
    """Return a gallery version of a result as it was in a scan.

    Args:
        version: of the item, which may have been searched in newer galleries since.
        newest: of the scan; None if it is not finished or of an earlier version of the program.
    """
    return version if version is None or newest is None else min(version, newest)
