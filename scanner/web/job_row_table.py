"""The table of web.db for the rows of the results of jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlite_utils import Database

from scanner.identification.outcome import FINDINGS, Outcome, seriousness

StoredRow = tuple[object, ...]


def create_job_rows(db: Database) -> None:
    """Create the table, and fill it from the results of jobs of earlier versions."""
    # Rows of one file follow each other and have one file number. What pages and readers count are
    # files: the number of rows of a file tells with how many people it was compared.
    db.execute(
        "create table job_rows (job_id text, number integer, file_number integer, "
        "seriousness integer, outcome text, is_open integer, words text, record text, "
        "primary key (job_id, number)) without rowid"
    )
    db.execute("create index job_rows_by_seriousness on job_rows (job_id, seriousness, number)")
    db.execute("create index job_rows_by_file on job_rows (job_id, file_number)")
    db.table("jobs").add_column("files", int, not_null_default=0)
    jobs = "select job_id, result from jobs where result <> '[]'"
    for job_id, result in db.execute(jobs).fetchall():
        keep_job_rows(db, job_id, json.loads(result))
        db.execute("update jobs set result = '[]' where job_id = ?", [job_id])


def keep_job_rows(db: Database, job_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store the rows of a job, as JSON values, in the place of earlier ones."""
    db.execute("delete from job_rows where job_id = ?", [job_id])
    insert_rows(db, stored_rows(job_id, rows))
    count_files(db, job_id)


def insert_rows(db: Database, rows: Iterable[StoredRow]) -> None:
    """Add rows to the table."""
    db.conn.executemany("insert into job_rows values (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def count_files(db: Database, job_id: str) -> None:
    """Note the number of files that the rows of a job are about."""
    counted = "(select count(distinct file_number) from job_rows r where r.job_id = jobs.job_id)"
    db.execute(f"update jobs set files = {counted} where job_id = ?", [job_id])


def stored_rows(job_id: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[StoredRow]:
    """Yield rows of the table for the rows of a job, as JSON values."""
    file, file_number = None, -1
    for number, row in enumerate(rows):
        own = row["file"], row.get("sha256")
        if own != file:
            file, file_number = own, file_number + 1
        outcome = Outcome(row["outcome"])
        words = f"{row['file']} {row.get('sha256')} {row.get('reason', '')}".casefold()
        yield (
            job_id,
            number,
            file_number,
            seriousness(outcome, is_authorised=bool(row.get("authorised"))),
            str(outcome),
            # Decisions about its case, or a licence, may make its outcome another one.
            int(outcome in FINDINGS),
            words,
            json.dumps(row, ensure_ascii=False),
        )
