"""The rows of the results of jobs in web.db, which may be as many as a hub has files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlite_utils import Database

from scanner.identification.outcome import FINDINGS, SERIOUS_FIRST
from scanner.web.job_row_table import (
    StoredRow,
    count_files,
    insert_rows,
    keep_job_rows,
    stored_rows,
)
from scanner.web.queue.job_row import JobRow

# A job is shown with so many of its rows, and in a list of jobs with so many.
MOST_SHOWN = 200
MOST_LISTED = 20
_ROWS_AT_ONCE = 1_000
# The rows of other jobs are not complete.
_OF_JOB = (
    "job_id = :job_id and exists "
    "(select 1 from jobs j where j.job_id = :job_id and j.state = 'finished')"
)
_LEAST_SERIOUS_FINDING = max(map(SERIOUS_FIRST.index, FINDINGS))


@dataclass(frozen=True, slots=True)
class RowPage:
    """All rows of the files of a page.

    Attributes:
        last: number of the last file; the next page begins after it.
        is_full: whether there may be a next page.
    """

    rows: tuple[JobRow, ...]
    last: int
    is_full: bool


class JobRows:
    """Reads and writes rows; the caller holds the transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def keep(self, job_id: str, rows: Sequence[JobRow]) -> None:
        """Store the rows of a job in the place of earlier ones."""
        keep_job_rows(self._db, job_id, (row.to_json() for row in rows))

    def discard(self, job_id: str) -> None:
        """Delete the rows of a job."""
        self._db.execute("delete from job_rows where job_id = ?", [job_id])

    def append(self, rows: Sequence[StoredRow]) -> None:
        """Store more rows of a running job, which nobody reads before it has ended."""
        insert_rows(self._db, rows)

    def count_files(self, job_id: str) -> None:
        """Note the number of files that the rows of a job are about."""
        count_files(self._db, job_id)

    def most_serious(self, job_id: str, most: int) -> tuple[JobRow, ...]:
        """Return the most serious rows, in their own order.

        They are all findings, because decisions about their cases change what they count as, and
        others up to a number.
        """
        findings = f"select count(*) from job_rows where {_OF_JOB} and seriousness <= :least"
        query = (
            f"select record from (select number, record from job_rows where {_OF_JOB} "
            f"order by seriousness, number limit max(:most, ({findings}))) order by number"
        )
        values = {"job_id": job_id, "most": most, "least": _LEAST_SERIOUS_FINDING}
        return tuple(map(_row, self._db.execute(query, values).fetchall()))

    def counts(self, job_id: str) -> dict[str, int]:
        """Return the number of rows by outcome."""
        query = f"select outcome, count(*) from job_rows where {_OF_JOB} group by outcome"
        return dict(self._db.execute(query, {"job_id": job_id}).fetchall())

    def page(
        self,
        job_id: str,
        *,
        outcome: str = "",
        words: str = "",
        after: int = -1,
        limit: int = MOST_SHOWN,
    ) -> RowPage:
        """Return the rows of a page of files.

        Args:
            outcome: only files with such a row, and files with findings, whose outcome may be
                another now.
            words: only files with them, and files with findings, which may name somebody.
            after: number of the last file of the page before.
            limit: number of files.
        """
        files = (
            f"select distinct file_number from job_rows where {_OF_JOB} "
            "and file_number > :after and (is_open or ((:outcome = '' or outcome = :outcome) "
            "and (:words = '' or instr(words, :words) > 0))) order by file_number limit :limit"
        )
        query = (
            "select record, file_number from job_rows where job_id = :job_id "
            f"and file_number in ({files}) order by number"
        )
        values: dict[str, Any] = {
            "job_id": job_id,
            "after": after,
            "outcome": outcome,
            "words": words.casefold(),
            "limit": limit,
        }
        stored = self._db.execute(query, values).fetchall()
        numbers = [number for _, number in stored]
        is_full = len(set(numbers)) >= limit
        return RowPage(tuple(map(_row, stored)), numbers[-1] if numbers else after, is_full)

    def forget_orphans(self) -> None:
        """Delete the rows of jobs that were deleted."""
        self._db.execute("delete from job_rows where job_id not in (select job_id from jobs)")


def parts_of(job_id: str, rows: Iterable[JobRow]) -> Iterator[list[StoredRow]]:
    """Yield rows as the table stores them, in parts that are quickly written."""
    following = stored_rows(job_id, (row.to_json() for row in rows))
    while part := list(islice(following, _ROWS_AT_ONCE)):
        yield part


def _row(stored: Sequence[Any]) -> JobRow:
    return JobRow.from_json(json.loads(stored[0]))
