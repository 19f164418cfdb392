"""The queue of scans in web.db, which survives every process.

queued -> running -> finished | failed, or cancelled. A worker holds a lock on the home while it
runs; the next one to get the lock puts the running jobs of its predecessor back into the queue. A
job ends in the same transaction that stores the messages about it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from scanner.web.errors import GateRefused, NotThere
from scanner.web.queue.job import ENDED, Job, JobKind, JobRequest, JobState
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.job_rows import MOST_LISTED, MOST_SHOWN, JobRows, RowPage, parts_of
from scanner.web.store import WebStore

MAX_ATTEMPTS = 5


class Jobs:
    """The queue; web processes add jobs, the worker takes them."""

    def __init__(
        self, store: WebStore, clock: Callable[[], datetime], max_waiting: int = 10_000
    ) -> None:
        self._store, self._clock, self._max_waiting = store, clock, max_waiting

    def submit(
        self,
        request: JobRequest,
        key: str | None = None,
        job_id: str | None = None,
        known: Sequence[JobRow] | None = None,
    ) -> tuple[Job, bool]:
        """The job of a request, and whether it is new.

        With an idempotency key the same request gives the same job.

        Args:
            known: rows of the verdict if these bytes have one already: the job is finished at once.

        Raises:
            GateRefused: the key was used for another request, or the queue is full.
        """
        with self._store.transaction() as db:
            existing = self._of_key(request, key) if key is not None else None
            if existing is not None:
                return existing, False
            if known is None and self.count(JobState.QUEUED) >= self._max_waiting:
                raise GateRefused(503, "queue-full", "the queue is full; try again later", 60)
            new_id = job_id or new_job_id()
            db.table("jobs").insert(self._new_row(new_id, request, known))
            JobRows(db).keep(new_id, known or [])
            if key is not None:
                db.table("idempotency").insert(
                    {
                        "account_id": request.account_id,
                        "key": key,
                        "request_sha256": request.digest,
                        "job_id": new_id,
                        "created_at": self._clock().isoformat(),
                    }
                )
        return self.get(new_id), True

    def _new_row(
        self, job_id: str, request: JobRequest, known: Sequence[JobRow] | None
    ) -> dict[str, Any]:
        """The row of a new job, which is finished at once if its verdict is known."""
        now = self._clock().isoformat()
        return {
            "job_id": job_id,
            "account_id": request.account_id,
            "kind": str(request.kind),
            "source": request.source,
            "name": request.name,
            "sha256": request.sha256,
            "size_bytes": request.size_bytes,
            "declared": json.dumps(request.declared or {}, ensure_ascii=False),
            "webhook": request.webhook,
            "state": str(JobState.QUEUED if known is None else JobState.FINISHED),
            "scan_id": None,
            "attempts": 0,
            "done": len(known or ()),
            "total": None,
            "doing": "",
            "result": "[]",
            "problem": None,
            "created_at": now,
            "started_at": None,
            "finished_at": None if known is None else now,
        }

    def _of_key(self, request: JobRequest, key: str) -> Job | None:
        """The job of an idempotency key; raises GateRefused if it is another request's."""
        rows = self._store.db.table("idempotency").rows_where(
            "account_id = ? and key = ?", [request.account_id, key]
        )
        row = next(rows, None)
        if row is None:
            return None
        if row["request_sha256"] != request.digest:
            raise GateRefused(
                422, "idempotency-key-reused", "this Idempotency-Key was used for another request"
            )
        return self.get(row["job_id"])

    def get(self, job_id: str) -> Job:
        """The job of an id; raises NotThere."""
        job = self.find(job_id)
        if job is None:
            raise NotThere(f"no job has the id {job_id!r}")
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of an id; None if there is none, or none any more."""
        rows = self._store.db.table("jobs").rows_where("job_id = ?", [job_id])
        return next(map(self._job, rows), None)

    def sent_by(self, account_id: str, sha256: str) -> Job | None:
        """The newest upload of these bytes by an account; None if there is none any more."""
        rows = self._store.db.table("jobs").rows_where(
            "account_id = ? and sha256 = ? and kind = ?",
            [account_id, sha256, str(JobKind.UPLOAD)],
            order_by="rowid desc",
            limit=1,
        )
        return next(map(self._job, rows), None)

    def has_ended(self, job_id: str) -> bool:
        """Whether no job of that id is queued or running."""
        rows = self._store.db.table("jobs").rows_where("job_id = ?", [job_id])
        return all(JobState(row["state"]) in ENDED for row in rows)

    def count(self, state: JobState) -> int:
        return int(self._store.db.table("jobs").count_where("state = ?", [str(state)]))

    def newest(
        self,
        account_id: str | None = None,
        state: JobState | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """Jobs, newest first, each with a few of its rows.

        Args:
            before: id of the last job of the previous page.
        """
        where, values = ["1 = 1"], list[Any]()
        for clause, value in (
            ("account_id = ?", account_id),
            ("state = ?", state and str(state)),
            ("rowid < (select rowid from jobs where job_id = ?)", before),
        ):
            if value is not None:
                where.append(clause)
                values.append(value)
        rows = self._store.db.table("jobs").rows_where(
            " and ".join(where), values, order_by="rowid desc", limit=limit
        )
        return [self._job(row, MOST_LISTED) for row in rows]

    @property
    def rows(self) -> JobRows:
        """The rows of the results of jobs, for this thread."""
        return JobRows(self._store.db)

    def row_pages(
        self, job_id: str, *, outcome: str = "", words: str = "", after: int = -1
    ) -> Iterator[RowPage]:
        """Yield pages of rows (`JobRows.page`); each may be read by another thread."""
        while True:
            page = self.rows.page(job_id, outcome=outcome, words=words, after=after)
            yield page
            if not page.is_full:
                return
            after = page.last

    def _job(self, row: dict[str, Any], most: int = MOST_SHOWN) -> Job:
        fields = {name: row[name] for name in Job.__slots__}
        return Job(
            **{
                **fields,
                "kind": JobKind(row["kind"]),
                "state": JobState(row["state"]),
                "declared": json.loads(row["declared"]),
                "result": self.rows.most_serious(row["job_id"], most),
            }
        )

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; a running job stops at its next step, an ended one is not changed."""
        with self._store.transaction() as db:
            db.execute(
                "update jobs set state = ?, finished_at = ? where job_id = ? and state in (?, ?)",
                [
                    str(JobState.CANCELLED),
                    self._clock().isoformat(),
                    job_id,
                    str(JobState.QUEUED),
                    str(JobState.RUNNING),
                ],
            )
            if self.get(job_id).state == JobState.CANCELLED:
                JobRows(db).discard(job_id)
        return self.get(job_id)

    def requeue_running_jobs(self) -> int:
        """Queue the jobs of a dead worker again, after its lock was taken over; how many."""
        with self._store.transaction() as db:
            return int(
                db.conn.execute(
                    "update jobs set state = ? where state = ?",
                    [str(JobState.QUEUED), str(JobState.RUNNING)],
                ).rowcount
            )

    def put_back(self, job_id: str) -> None:
        """Queue a running job again for a reason outside of it; the attempt does not count."""
        with self._store.transaction() as db:
            db.conn.execute(
                "update jobs set state = ?, attempts = attempts - 1 where job_id = ? and state = ?",
                [str(JobState.QUEUED), job_id, str(JobState.RUNNING)],
            )

    def claim(self, ended: Callable[[Job], None] = lambda _: None) -> Job | None:
        """Take the oldest queued job; None if there is none.

        A job whose worker has died too often fails instead.

        Args:
            ended: called in the same transaction with a job that fails.
        """
        with self._store.transaction() as db:
            for row in db.table("jobs").rows_where(
                "state = ?", [str(JobState.QUEUED)], order_by="rowid", limit=1
            ):
                now = self._clock().isoformat()
                if row["attempts"] >= MAX_ATTEMPTS:
                    problem = f"the worker died {MAX_ATTEMPTS} times over it"
                    changes = {
                        "state": str(JobState.FAILED),
                        "problem": problem,
                        "finished_at": now,
                    }
                else:
                    started = row["started_at"] or now
                    changes = {
                        "state": str(JobState.RUNNING),
                        "attempts": row["attempts"] + 1,
                        "started_at": started,
                    }
                db.table("jobs").update(row["job_id"], changes)
                job = self.get(row["job_id"])
                if job.ended:
                    JobRows(db).discard(job.job_id)
                    ended(job)
                return job
        return None

    def progress(self, job_id: str, done: int, total: int | None, doing: str) -> bool:
        """Store the progress of a job; False if it was cancelled."""
        with self._store.transaction() as db:
            query = "update jobs set done = ?, total = ?, doing = ? where job_id = ? and state = ?"
            return bool(
                db.conn.execute(
                    query, [done, total, doing[:300], job_id, str(JobState.RUNNING)]
                ).rowcount
            )

    def keep_rows(self, job_id: str, rows: Iterable[JobRow]) -> None:
        """Store the rows of a running job in the place of earlier ones.

        They are stored in parts, so that nobody who writes waits for all of them, until the job is
        cancelled.
        """
        with self._store.transaction() as db:
            if self._is_running(job_id):
                JobRows(db).discard(job_id)
        for part in parts_of(job_id, rows):
            with self._store.transaction() as db:
                if not self._is_running(job_id):
                    return
                JobRows(db).append(part)

    def _is_running(self, job_id: str) -> bool:
        query = "select 1 from jobs where job_id = ? and state = ?"
        found = self._store.db.execute(query, [job_id, str(JobState.RUNNING)]).fetchone()
        return found is not None

    def finish(
        self, job_id: str, scan_id: str | None, problem: str | None, also: Callable[[Job], None]
    ) -> Job:
        """End a job, and call `also` in the same transaction; a cancelled job stays cancelled.

        A job with a problem, or that was cancelled, loses its rows.
        """
        state = JobState.FAILED if problem else JobState.FINISHED
        with self._store.transaction() as db:
            changed = db.conn.execute(
                "update jobs set state = ?, scan_id = ?, problem = ?, finished_at = ?, doing = '' "
                "where job_id = ? and state = ?",
                [
                    str(state),
                    scan_id,
                    problem,
                    self._clock().isoformat(),
                    job_id,
                    str(JobState.RUNNING),
                ],
            ).rowcount
            if self.get(job_id).state != JobState.FINISHED:
                JobRows(db).discard(job_id)
            JobRows(db).count_files(job_id)
            job = self.get(job_id)
            if changed:
                also(job)
        return job

    def forget_before(self, day: str) -> None:
        """Delete jobs that ended before a day, ISO 8601."""
        with self._store.transaction() as db:
            ended = ", ".join(f"'{state}'" for state in ENDED)
            db.table("jobs").delete_where(f"state in ({ended}) and finished_at < ?", [day])
            JobRows(db).forget_orphans()
            db.table("idempotency").delete_where("created_at < ?", [day])


def new_job_id() -> str:
    """An id that cannot be guessed."""
    return secrets.token_hex(12)
