"""Progress of the job that the worker runs."""

from __future__ import annotations

import time

from scanner.web.queue.jobs import Jobs

_PROGRESS_EVERY_S = 0.5


class JobCancelled(Exception):
    """The job was cancelled."""


class JobProgress:
    """Stores the progress of a job, at most twice a second; raises JobCancelled."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self._jobs, self._job_id, self._last = jobs, job_id, 0.0

    def step(self, done: int, total: int | None, doing: str) -> None:
        if time.monotonic() - self._last < _PROGRESS_EVERY_S and done != total:
            return
        self._last = time.monotonic()
        if not self._jobs.progress(self._job_id, done, total, doing):
            raise JobCancelled
