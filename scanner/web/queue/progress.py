"""Progress of the job or the retrosearch that the worker runs."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from scanner.scanning.retrosearch import TARGET as RETROSEARCH
from scanner.web.queue.jobs import Jobs
from scanner.web.store import WebStore

log = logging.getLogger(__name__)

# The fact in web.db about the progress of a retrosearch.
_SEARCH_FACT = "retrosearch"
_PROGRESS_EVERY_S = 0.5
_BETWEEN_EVERY_S = 2.0
_LOG_EVERY_S = 10.0


class JobCancelled(Exception):
    """The job was cancelled."""


class JobProgress:
    """Stores the progress of a job, at most twice a second; raises JobCancelled.

    Args:
        between: called between two files, at most every two seconds.
    """

    def __init__(self, jobs: Jobs, job_id: str, between: Callable[[], None] | None = None) -> None:
        self._jobs, self._job_id, self._last = jobs, job_id, 0.0
        self._between, self._next = between, time.monotonic() + _BETWEEN_EVERY_S

    def step(self, done: int, total: int | None, doing: str) -> None:
        if self._between is not None and time.monotonic() >= self._next:
            self._between()
            self._next = time.monotonic() + _BETWEEN_EVERY_S
        if time.monotonic() - self._last < _PROGRESS_EVERY_S and done != total:
            return
        self._last = time.monotonic()
        if not self._jobs.progress(self._job_id, done, total, doing):
            raise JobCancelled


class SearchStopped(Exception):
    """The worker is to stop; the search goes on at the next start."""


@dataclass(frozen=True, slots=True)
class SearchState:
    """How far the retrosearch is that the worker runs.

    Attributes:
        is_drawing: files in which somebody comes near are drawn; before that, all are searched.
        done, total: of these files.
    """

    is_drawing: bool
    done: int
    total: int


def search_state(store: WebStore) -> SearchState | None:
    """Return the state of the retrosearch that is under way; None without one."""
    fact = store.fact(_SEARCH_FACT)
    return SearchState(**json.loads(fact)) if fact else None


class RetrosearchProgress:
    """Stores and logs the progress of a retrosearch, and ends it when the worker is to stop."""

    def __init__(self, stop: threading.Event, store: WebStore) -> None:
        self._stop, self._store = stop, store
        self._stored, self._logged = 0.0, time.monotonic()

    def step(self, done: int, total: int | None, doing: str) -> None:
        if self._stop.is_set():
            raise SearchStopped
        now = time.monotonic()
        if now - self._stored >= _PROGRESS_EVERY_S:
            self._stored = now
            state = SearchState(doing != RETROSEARCH, done, total or 0)
            self._store.set_fact(_SEARCH_FACT, json.dumps(asdict(state)))
        if now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            log.info("%s: %d of %s files", doing, done, "?" if total is None else total)

    def end(self) -> None:
        """Forget the progress."""
        self._store.forget_fact(_SEARCH_FACT)
