"""Progress of the job or the retrosearch that the worker runs."""

from __future__ import annotations

import logging
import threading
import time

from scanner.web.queue.jobs import Jobs

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 0.5
_LOG_EVERY_S = 10.0


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


class SearchStopped(Exception):
    """The worker is to stop; the search goes on at the next start."""


class RetrosearchProgress:
    """Ends a retrosearch when the worker is to stop, and writes the progress to the log."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._last = stop, time.monotonic()

    def step(self, done: int, total: int | None, doing: str) -> None:
        if self._stop.is_set():
            raise SearchStopped
        if time.monotonic() - self._last >= _LOG_EVERY_S:
            self._last = time.monotonic()
            log.info("%s: %d of %s files", doing, done, "?" if total is None else total)
