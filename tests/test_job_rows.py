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

from reports.cases.case_summary import Standing
from scanner.settings import Settings
from scanner.web.queue.job import Job, JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.job_rows import MOST_LISTED, MOST_SHOWN
from scanner.web.queue.jobs import MAX_ATTEMPTS, Jobs
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
    assert (job.files, len(job.result)) == (MANY, MOST_SHOWN)
    assert [row.outcome for row in job.result[-2:]] == ["failed", "possible"]
    document = serializer.scan(job)
    assert document.verdict is not None
    assert (document.verdict.outcome, document.verdict.more_findings) == (
        "possible",
        MANY - MOST_SHOWN,
    )
    [listed] = jobs.newest()
    assert len(listed.result) == MOST_LISTED
    of_list = serializer.scan(listed, MOST_LISTED).verdict
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
    assert [row for page in pages for row in page.rows] == rows
    assert [len(page.rows) for page in pages] == [MOST_SHOWN] * 3 + [0]
    failed = jobs.rows.page(job.job_id, outcome="failed")
    # A finding is there too: a decision about its case may make it another outcome.
    assert [row.outcome for row in failed.rows] == ["failed", "possible"]
    assert jobs.rows.counts(job.job_id) == {"clear": MANY - 2, "failed": 1, "possible": 1}


@pytest.mark.parametrize("words", ["ÄRGER.s", 'say "hi"', "c:\\models", "ärger"])
def test_words_are_found_in_any_spelling(jobs: Jobs, words: str) -> None:
    row = JobRow("Ärger.safetensors", "aa", "clear", 'they say "hi" in C:\\models')
    job = finished(jobs, [JobRow("another", "bb", "clear", ""), row])
    assert jobs.rows.page(job.job_id, words=words).rows == (row,)


def test_pages_count_files(jobs: Jobs) -> None:
    """The number of rows of a file tells with how many people it was compared in detail."""
    rows = [JobRow("a", "aa", "clear", ""), *[JobRow("b", "bb", "clear", "")] * 4]
    job = finished(jobs, [*rows, JobRow("c", "cc", "clear", "")])
    assert job.files == 3
    first = jobs.rows.page(job.job_id, limit=2)
    assert (len(first.rows), first.last, first.is_full) == (5, 1, True)
    second = jobs.rows.page(job.job_id, limit=2, after=first.last)
    assert ([row.file for row in second.rows], second.is_full) == (["c"], False)


def test_files_of_one_name_are_many_files(jobs: Jobs) -> None:
    """Hubs name the files of many listings alike."""
    name = "pytorch_lora_weights.safetensors"
    job = finished(jobs, [JobRow(name, f"{number:064x}", "clear", "") for number in range(50)])
    assert len(jobs.rows.page(job.job_id, limit=10).rows) == 10


def test_one_open_match_behind_many_settled_ones_counts(
    jobs: Jobs, serializer: ScanSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [f"{number:016x}" for number in range(MOST_SHOWN + 50)]
    rows = [JobRow(f"{case}.safetensors", case, "match", "", case_id=case) for case in cases]
    standings = {case: Standing(case, "rejected", "Ada") for case in cases[:-1]}
    standings[cases[-1]] = Standing(cases[-1], "draft", "Ada")
    monkeypatch.setattr(CaseStandings, "of", lambda _, ids: {one: standings[one] for one in ids})
    finished(jobs, rows)
    [listed] = jobs.newest()
    verdict = serializer.scan(listed, MOST_LISTED).verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.action) == ("match", "block")
    assert len(verdict.findings) == MOST_LISTED
    assert verdict.findings[-1].case_id == cases[-1]
    assert verdict.more_findings == len(cases) - MOST_LISTED


def test_authorised_uses_are_the_least_serious(jobs: Jobs, serializer: ScanSerializer) -> None:
    allowed = [
        JobRow(f"{number}", f"{number:064x}", "match", "", authorised="licence 0123")
        for number in range(2 * MOST_SHOWN)
    ]
    job = finished(jobs, [*allowed, JobRow("damaged", "ff", "failed", "damaged")])
    verdict = serializer.scan(job).verdict
    assert verdict is not None
    assert verdict.outcome == "failed"


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
    assert jobs.get("a").files == MANY
    assert [row for page in jobs.row_pages("a") for row in page.rows] == rows
    jobs.forget_before("2027")  # it never ended, so it stays
    assert jobs.get("a").files == MANY
    store.close()


def running(jobs: Jobs) -> Job:
    jobs.submit(REQUEST)
    job = jobs.claim()
    assert job is not None
    return job


def test_rows_of_a_running_job_are_stored_and_not_shown(jobs: Jobs) -> None:
    job = running(jobs)
    jobs.keep_rows(job.job_id, rows_of(9))
    jobs.keep_rows(job.job_id, rows_of(MANY))
    assert jobs.get(job.job_id).result == ()
    assert jobs.rows.counts(job.job_id) == {}
    assert jobs.rows.page(job.job_id).rows == ()
    ended = jobs.finish(job.job_id, "scan", None, lambda _: None)
    assert ended.files == MANY
    assert [row for page in jobs.row_pages(job.job_id) for row in page.rows] == rows_of(MANY)


def test_a_job_that_fails_or_is_cancelled_has_no_rows(jobs: Jobs) -> None:
    failed = running(jobs)
    jobs.keep_rows(failed.job_id, rows_of(9))
    jobs.finish(failed.job_id, None, "damaged", lambda _: None)
    assert jobs.rows.counts(failed.job_id) == {}
    cancelled = running(jobs)
    jobs.keep_rows(cancelled.job_id, rows_of(9))
    jobs.cancel(cancelled.job_id)
    jobs.keep_rows(cancelled.job_id, rows_of(MANY))
    jobs.finish(cancelled.job_id, "scan", None, lambda _: None)
    assert (jobs.get(cancelled.job_id).files, jobs.rows.counts(cancelled.job_id)) == (0, {})


def test_rows_of_a_job_that_is_queued_again_are_not_shown(jobs: Jobs) -> None:
    job = running(jobs)
    jobs.keep_rows(job.job_id, rows_of(9))
    jobs.requeue_running_jobs()
    assert jobs.rows.counts(job.job_id) == {}
    jobs.cancel(job.job_id)
    assert jobs._store.db.table("job_rows").count == 0


def test_a_job_that_failed_too_often_is_told_of_and_has_no_rows(jobs: Jobs) -> None:
    jobs.submit(REQUEST)
    for _ in range(MAX_ATTEMPTS):
        job = jobs.claim()
        assert job is not None
        jobs.keep_rows(job.job_id, rows_of(9))
        jobs.requeue_running_jobs()
    told: list[Job] = []
    failed = jobs.claim(told.append)
    assert failed is not None
    assert (failed.state, told) == ("failed", [failed])
    assert jobs._store.db.table("job_rows").count == 0


def test_a_job_that_another_worker_has_finished_keeps_its_rows(jobs: Jobs) -> None:
    job = running(jobs)
    jobs.keep_rows(job.job_id, rows_of(9))
    jobs.finish(job.job_id, "scan", None, lambda _: None)
    jobs.keep_rows(job.job_id, rows_of(MANY))
    jobs.finish(job.job_id, "scan", None, lambda _: None)
    assert jobs.get(job.job_id).files == 9


def test_rows_go_with_their_job(jobs: Jobs) -> None:
    job = finished(jobs, rows_of(5))
    jobs.forget_before("2027")
    assert jobs.find(job.job_id) is None
    assert jobs.rows.counts(job.job_id) == {}
