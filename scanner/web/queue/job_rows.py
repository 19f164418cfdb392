"""The rows of the results of jobs in web.db, which may be as many as a hub has files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

from scanner.web.job_row_table import keep_job_rows
from scanner.web.queue.job_row import JobRow

# A job is shown with so many of its rows, and in a list of jobs with so many.
MOST_SHOWN = 200
MOST_LISTED = 20


class JobRows:
    """Reads and writes rows; the caller holds the transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def keep(self, job_id: str, rows: Sequence[JobRow]) -> None:
        """Store the rows of a job in the place of earlier ones."""
        keep_job_rows(self._db, job_id, (row.to_json() for row in rows))

    def most_serious(self, job_id: str, most: int) -> tuple[JobRow, ...]:
        """Return the most serious rows, in their own order."""
        query = (
            "select record from (select number, record from job_rows where job_id = ? "
            "order by seriousness, number limit ?) order by number"
        )
        return tuple(map(_row, self._db.execute(query, [job_id, most]).fetchall()))

    def counts(self, job_id: str) -> dict[str, int]:
        """Return the number of rows by outcome."""
        query = "select outcome, count(*) from job_rows where job_id = ? group by outcome"
        return dict(self._db.execute(query, [job_id]).fetchall())

    def page(
        self,
        job_id: str,
        *,
        outcome: str = "",
        words: str = "",
        after: int = -1,
        limit: int = MOST_SHOWN,
    ) -> list[tuple[int, JobRow]]:
        """Return rows of a job with their numbers; the rows of one file stay on one page.

        Args:
            outcome: only rows with it, and rows with a case, whose outcome may be another now.
            words: only rows that contain them, and rows with a case, which may name somebody.
            after: number of the last row of the page before.
        """
        query = (
            "select number, record from job_rows where job_id = :job_id and number > :after "
            "and (:outcome = '' or outcome = :outcome or case_id is not null) "
            "and (:words = '' or instr(lower(record), :words) > 0 or case_id is not null) "
            "order by number limit :limit"
        )
        # What is shown of a file may depend on all of its rows.
        of_last_file = "select number, record from job_rows where job_id = ? and number = ?"
        values: dict[str, Any] = {
            "job_id": job_id,
            "after": after,
            "outcome": outcome,
            "words": words.lower(),
            "limit": limit,
        }
        stored = self._db.execute(query, values).fetchall()
        found = [(number, _row((record,))) for number, record in stored]
        while len(found) >= limit:
            number, last = found[-1]
            following = self._db.execute(of_last_file, [job_id, number + 1]).fetchone()
            if following is None or (row := _row(following[1:])).file != last.file:
                break
            found.append((number + 1, row))
        return found

    def forget_orphans(self) -> None:
        """Delete the rows of jobs that were deleted."""
        self._db.execute("delete from job_rows where job_id not in (select job_id from jobs)")


def _row(stored: Sequence[str]) -> JobRow:
    return JobRow.from_json(json.loads(stored[0]))
