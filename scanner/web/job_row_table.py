"""The table of web.db for the rows of the results of jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlite_utils import Database

from scanner.identification.verdict import Outcome

SERIOUS_FIRST = (
    Outcome.MATCH,
    Outcome.POSSIBLE,
    Outcome.FAILED,
    Outcome.INCONCLUSIVE,
    Outcome.CLEAR,
)


def create_job_rows(db: Database) -> None:
    """Create the table, and fill it from the results of jobs of earlier versions."""
    db.execute(
        "create table job_rows (job_id text, number integer, seriousness integer, outcome text, "
        "case_id text, record text, primary key (job_id, number)) without rowid"
    )
    db.execute("create index job_rows_by_seriousness on job_rows (job_id, seriousness, number)")
    db.table("jobs").add_column("rows", int, not_null_default=0)
    jobs = "select job_id, result from jobs where result <> '[]'"
    for job_id, result in db.execute(jobs).fetchall():
        keep_job_rows(db, job_id, json.loads(result))
        db.execute("update jobs set result = '[]' where job_id = ?", [job_id])


def keep_job_rows(db: Database, job_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store the rows of a job, as JSON values, in the place of earlier ones."""
    db.execute("delete from job_rows where job_id = ?", [job_id])
    db.conn.executemany(
        "insert into job_rows values (?, ?, ?, ?, ?, ?)",
        (
            (
                job_id,
                number,
                SERIOUS_FIRST.index(Outcome(row["outcome"])),
                row["outcome"],
                row.get("case_id"),
                json.dumps(row, ensure_ascii=False),
            )
            for number, row in enumerate(rows)
        ),
    )
    counted = "(select count(*) from job_rows r where r.job_id = jobs.job_id)"
    db.execute(f"update jobs set rows = {counted} where job_id = ?", [job_id])
