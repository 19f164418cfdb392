"""Results of jobs with as many rows as a hub has files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database

from scanner.settings import Settings
from scanner.web.queue.job import Job, JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.job_rows import MOST_LISTED, MOST_SHOWN
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.verdicts import CaseStandings, ScanSerializer
from scanner.web.store import WebStore, migrations

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MANY = 3 * MOST_SHOWN
REQUEST = JobRequest("account", JobKind.TARGET, "civitai", "civitai")


def rows_of(count: int) -> list[JobRow]:
    rows = [
        JobRow(f"{number}.safetensors", f"{number:064x}", "clear", "") for number in range(count)
    ]
    rows[-1] = replace(rows[-1], outcome="possible", score=0.6)
    rows[-3] = replace(rows[-3], outcome="failed", reason="damaged")
    return rows


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    store = WebStore(tmp_path / "web.db")
    yield Jobs(store, lambda: NOON)
    store.close()


@pytest.fixture
def serializer(tmp_path: Path) -> Iterator[ScanSerializer]:
    with closing(CaseStandings(Settings(home=tmp_path))) as standings:
        yield ScanSerializer("https://desk", standings, with_names=True)


def finished(jobs: Jobs, rows: list[JobRow]) -> Job:
    return jobs.submit(REQUEST, known=rows)[0]


def test_the_most_serious_of_many_make_the_verdict(jobs: Jobs, serializer: ScanSerializer) -> None:
    job = finished(jobs, rows_of(MANY))
    assert (job.rows, len(job.result)) == (MANY, MOST_SHOWN)
    assert [row.outcome for row in job.result[-2:]] == ["failed", "possible"]
    document = serializer.scan(job)
    assert document.verdict is not None
    assert (document.verdict.outcome, document.verdict.more_findings) == (
        "possible",
        MANY - MOST_SHOWN,
    )
    [listed] = jobs.newest()
    assert len(listed.result) == MOST_LISTED
    of_list = serializer.scan(listed).verdict
    assert of_list is not None
    assert (of_list.outcome, of_list.more_findings) == ("possible", MANY - MOST_LISTED)


def test_few_are_all_there_in_their_order(jobs: Jobs, serializer: ScanSerializer) -> None:
    rows = rows_of(5)
    job = finished(jobs, rows)
    assert list(job.result) == rows
    verdict = serializer.scan(job).verdict
    assert verdict is not None
    assert (len(verdict.findings), verdict.more_findings) == (5, 0)


def test_pages_hold_every_row_once(jobs: Jobs) -> None:
    rows = rows_of(MANY)
    job = finished(jobs, rows)
    pages = list(jobs.row_pages(job.job_id))
    assert [row for page in pages for _, row in page] == rows
    assert {len(page) for page in pages} == {MOST_SHOWN}
    [[(number, row)]] = jobs.row_pages(job.job_id, outcome="failed")
    assert (number, row.reason) == (MANY - 3, "damaged")
    assert jobs.rows.counts(job.job_id) == {"clear": MANY - 2, "failed": 1, "possible": 1}
    assert [number for number, _ in jobs.rows.page(job.job_id, words="41.SAFE")] == [41, 141, 241,
        341, 441, 541]  # fmt: skip


def test_the_rows_of_one_file_stay_on_one_page(jobs: Jobs) -> None:
    """Else a reader could count with how many people a file was compared in detail."""
    rows = [JobRow("a", "aa", "clear", ""), *[JobRow("b", "bb", "clear", "")] * 4]
    job = finished(jobs, [*rows, JobRow("c", "cc", "clear", "")])
    assert [len(page) for page in (jobs.rows.page(job.job_id, limit=2),)] == [5]
    assert [row.file for _, row in jobs.rows.page(job.job_id, limit=2, after=4)] == ["c"]


def test_results_of_before_are_taken_over(tmp_path: Path) -> None:
    path, rows = tmp_path / "web.db", rows_of(MANY)
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        migrations.apply(Database(db), stop_before="rows_of_jobs")
        result = json.dumps([row.to_json() for row in rows])
        db.execute(
            "insert into jobs (job_id, account_id, kind, name, declared, state, attempts, done, "
            "doing, result, created_at) values ('a', 'b', 'target', 'c', '{}', 'finished', 1, 9, "
            "'', ?, '2026')",
            [result],
        )
        db.commit()
    store = WebStore(path)
    jobs = Jobs(store, lambda: NOON)
    assert jobs.get("a").rows == MANY
    assert [row for page in jobs.row_pages("a") for _, row in page] == rows
    jobs.forget_before("2027")  # it never ended, so it stays
    assert jobs.get("a").rows == MANY
    store.close()


def test_rows_go_with_their_job(jobs: Jobs) -> None:
    job = finished(jobs, rows_of(5))
    jobs.forget_before("2027")
    assert jobs.find(job.job_id) is None
    assert jobs.rows.counts(job.job_id) == {}
