"""The table of all results of all scans, for exports and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlite_utils import Database

from scanner.casework.exports import MonthOfResults, VerdictRow
from scanner.scanning.scan_rows import version_in_scan
from scanner.scanning.searched_file_store import rows_in

_ROWS_AT_ONCE = 500
_ITEMS_OF_SCANS = (
    "scans s join items i on i.target = s.target "
    "and i.first_scan <= s.number and i.last_scan >= s.number"
)


class VerdictTable:
    """Reads the results of all scans; nothing is held in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def rows(self) -> Iterator[VerdictRow]:
        """Yield every result of every scan, the oldest scan first."""
        query = (
            "select s.scan_id, s.started_at, s.target, s.gallery_version, i.verdict, i.position, "
            "l.hub, "
            "l.record ->> '$.listing_id' as listing_id "
            f"from {_ITEMS_OF_SCANS} join item_listings l using (listing_number) "
            "where s.number = ? and i.position > ? "
            "and i.verdict is not null order by i.position limit ?"
        )
        for (scan,) in self._db.execute("select number from scans order by number").fetchall():
            last = -1
            # Pages instead of an open cursor, so that a long export does not keep the log of
            # other writers.
            while found := list(self._db.query(query, [scan, last, _ROWS_AT_ONCE])):
                for item in found:
                    yield from _verdict_rows(item)
                last = found[-1]["position"]

    def month(self, month: str) -> MonthOfResults:
        """Return the results of the scans that began in a month, as YYYY-MM."""
        self._db.execute("drop table if exists temp.month_results")
        self._db.execute(
            "create temp table month_results as select s.started_at as at, "
            "coalesce(r.value ->> '$.sha256', r.value ->> '$.file') as file, "
            "coalesce(r.value ->> '$.identity_id', '') as person, "
            "r.value ->> '$.outcome' as outcome, r.value ->> '$.authorised' as authorised "
            f"from {_ITEMS_OF_SCANS}, json_each(i.verdict, '$.rows') r "
            "where s.started_at between ? and ? || '~' order by s.started_at, i.position",
            [month, month],
        )
        self._db.execute("create index temp.month_results_by_file on month_results (file, at)")
        newest = (
            "select outcome, row_number() over (partition by m.file, person order by m.rowid desc) "
            "as turn from temp.month_results m join (select file, max(at) as at "
            "from temp.month_results group by file) n on n.file = m.file and n.at = m.at"
        )
        query = f"select outcome, count(*) from ({newest}) where turn = 1 group by 1 order by 1"
        outcomes = dict(self._db.execute(query).fetchall())
        counted = (
            "select count(distinct file), count(nullif(authorised, '')) from temp.month_results"
        )
        files, authorised = self._db.execute(counted).fetchone()
        self._db.execute("drop table temp.month_results")
        return MonthOfResults(files, outcomes, authorised)


def _verdict_rows(item: dict[str, Any]) -> Iterator[VerdictRow]:
    for row in rows_in(item["verdict"]):
        yield VerdictRow(
            scan_id=item["scan_id"],
            judged_in=item["started_at"],
            target=item["target"],
            hub=item["hub"],
            listing_id=item["listing_id"],
            file=row.file,
            sha256=row.sha256,
            outcome=row.outcome,
            identity_id=row.identity_id,
            score=row.score,
            threshold=row.threshold,
            lift=row.lift,
            samples=row.samples,
            seconds=row.seconds,
            gallery_version=version_in_scan(row.gallery_version, item["gallery_version"]),
            authorised=row.authorised,
            case_id=row.case_id,
            reason=row.reason,
        )
