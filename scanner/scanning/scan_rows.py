"""The result rows of one scan, read from scans.db a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
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
        files: number of different files, archives' members counted one by one.
        by_outcome: number of rows by outcome.
    """

    files: int
    by_outcome: dict[str, int]

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return sum(self.by_outcome.values())


class ScanRows:
    """Reads the rows of a scan in the order of its listing; nothing is held in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_scan(self, scan: ScanRow, *, only_findings: bool = False) -> Iterator[ResultRow]:
        """Yield the rows of a scan, or those that name somebody."""
        condition = _IS_FINDING if only_findings else "1"
        items = (
            f"select i.item_id from items i where {_OF_SCAN} and i.position > :last "
            f"and exists (select 1 from json_each(i.verdict, '$.rows') r where {condition}) "
            "order by i.position limit :limit"
        )
        query = (
            f"select i.position, r.value {_ROWS} and i.item_id in ({items}) and {condition} "
            "order by i.position, r.key"
        )
        last = -1
        values = {**_values(scan), "limit": _ITEMS_AT_ONCE}
        while page := self._db.execute(query, {**values, "last": last}).fetchall():
            for _, record in page:
                yield _row(record)
            last = page[-1][0]

    def most_serious(self, scan: ScanRow, most: int) -> list[ResultRow]:
        """Return the most serious rows of a scan, in the order of the listing."""
        query = (
            "select record from (select i.position, r.key as number, r.value as record "
            f"{_ROWS} order by {_SERIOUSNESS}, i.position, r.key limit :most) "
            "order by position, number"
        )
        found = self._db.execute(query, {**_values(scan), "most": most}).fetchall()
        return [_row(record) for (record,) in found]

    def counts(self, scan: ScanRow) -> RowCounts:
        """Return the numbers of files and rows of a scan."""
        # A file that could not be read has no SHA-256.
        file = "coalesce(r.value ->> '$.sha256', i.item_key)"
        files = self._db.execute(f"select count(distinct {file}) {_ROWS}", _values(scan))
        outcomes = self._db.execute(
            f"select {_OUTCOME}, count(*) {_ROWS} group by 1 order by 1",
            _values(scan),
        )
        return RowCounts(int(files.fetchone()[0]), dict(outcomes.fetchall()))


def _values(scan: ScanRow) -> dict[str, Any]:
    return {"target": scan.target, "number": scan.number}


def _row(record: str) -> ResultRow:
    return ResultRow.from_json(json.loads(record))
