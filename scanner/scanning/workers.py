"""The pool of workers that examine checkpoints while the scan lists and fetches.

The pool of this module is a thread; scanner.scanning.ray_workers has one on a Ray cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from scanner.errors import ScanError
from scanner.identification.snapshot import GallerySnapshot
from scanner.scanning.identifier import CheckpointIdentifier, SamplingRequest, WorkerAnswer

LOOKAHEAD = 8

_STARTED = threading.Event()


def has_worker_thread() -> bool:
    """Whether a local pool of this process has started its thread, which never ends."""
    return _STARTED.is_set()


Result = tuple[str, WorkerAnswer | Exception]


class WorkerPool(Protocol):
    """Takes requests by key and returns their verdicts in any order."""

    def submit(self, key: str, request: SamplingRequest, snapshot: GallerySnapshot) -> None:
        """Queue the examination of a checkpoint and the search in a gallery.

        If somebody registers or withdraws meanwhile, a newer gallery may be searched; the answer
        names it.
        """

    def finished(self, *, wait: bool) -> list[Result]:
        """Return answers since the last call; with `wait` at least one, if any is pending."""

    @property
    def pending(self) -> int:
        """Number of requests that are under way or wait."""

    @property
    def has_room(self) -> bool:
        """Whether another request would be begun soon."""

    def close(self) -> None:
        """Drop the requests that wait."""


def next_of(queue: Sequence[tuple[str, SamplingRequest]], family: str | None) -> int:
    """Return the position of the next request: one for the loaded base model, else the oldest.

    Args:
        family: family of the loaded base model.
    """
    same = (place for place, (_, request) in enumerate(queue) if request.family == family)
    return next(same, 0)


class LocalWorkerPool:
    """A pool of one daemon thread, while the main thread lists, fetches and writes.

    Args:
        identifier_for: returns the identifier of a snapshot; all identifiers share their models.
    """

    def __init__(self, identifier_for: Callable[[GallerySnapshot], CheckpointIdentifier]) -> None:
        self._identifier_for = identifier_for
        self._queue: list[tuple[str, SamplingRequest, CheckpointIdentifier]] = []
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._pending = 0

    @property
    def pending(self) -> int:
        """Number of requests that are under way or wait."""
        return self._pending

    @property
    def has_room(self) -> bool:
        """Whether another request would be begun soon."""
        return self._pending < LOOKAHEAD

    def submit(self, key: str, request: SamplingRequest, snapshot: GallerySnapshot) -> None:
        """Queue a request; the first one starts the thread."""
        identifier = self._identifier_for(snapshot)
        self._pending += 1
        with self._changed:
            self._queue.append((key, request, identifier))
            self._changed.notify()
        if not self._thread.is_alive():
            _STARTED.set()
            self._thread.start()

    def finished(self, *, wait: bool) -> list[Result]:
        """Return answers since the last call; with `wait` at least one, if any is pending."""
        found: list[Result] = []
        while self._pending:
            try:
                found.append(self._results.get(block=wait and not found))
            except Empty:
                break
            self._pending -= 1
        return found

    def close(self) -> None:
        """Drop the requests that wait."""
        with self._changed:
            self._pending -= len(self._queue)
            self._queue.clear()

    def _work(self) -> None:
        family: str | None = None
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                waiting = [(key, request) for key, request, _ in self._queue]
                key, request, identifier = self._queue.pop(next_of(waiting, family))
            family = request.family
            try:
                self._results.put((key, identifier.identify(request)))
            except Exception as error:  # the main thread handles it
                self._results.put((key, error))


def raise_unless_expected(error: Exception) -> None:
    """Raise an error that is a defect of the program; a ScanError becomes the reason of a row."""
    if not isinstance(error, ScanError):
        raise error
