"""Who judges while the scan goes on listing and fetching: a thread on this machine, or workers of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from scanner.errors import ScanError
from scanner.identification.snapshot import Watch
from scanner.scanning.judging import Bench, Judgement, Task

LOOKAHEAD = 8

Result = tuple[str, Judgement | Exception]


class WorkerPool(Protocol):
    """Takes tasks by key and gives their judgements back in any order."""

    def submit(self, key: str, task: Task, watch: Watch) -> None:
        """Have a checkpoint judged against a gallery.

        Where somebody entered or left before it was judged, another gallery may be searched: the judgement names it.
        """

    def finished(self, *, wait: bool) -> list[Result]:
        """What was judged since the last call; with `wait` at least one, if anything is under way."""

    @property
    def pending(self) -> int:
        """How many tasks are under way or wait."""

    @property
    def has_room(self) -> bool:
        """Whether there is use in preparing more tasks now."""

    def close(self) -> None:
        """Let go of what is under way."""


def next_of(queue: Sequence[tuple[str, Task]], family: str | None) -> int:
    """The position of the task to do next: one of the family whose base model is loaded, else the oldest."""
    return next((place for place, (_, task) in enumerate(queue) if task.family == family), 0)


class LocalWorkerPool:
    """One thread; the main thread lists, fetches and writes meanwhile. It ends with the program, Ctrl-C included."""

    def __init__(self, bench: Callable[[Watch], Bench]) -> None:
        self._bench_for = bench
        self._queue: list[tuple[str, Task, Bench]] = []
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="judging", daemon=True)
        self._pending = 0

    @property
    def pending(self) -> int:
        return self._pending

    @property
    def has_room(self) -> bool:
        return self._pending < LOOKAHEAD

    def submit(self, key: str, task: Task, watch: Watch) -> None:
        bench = self._bench_for(watch)
        self._pending += 1
        with self._changed:
            self._queue.append((key, task, bench))
            self._changed.notify()
        if not self._thread.is_alive():
            self._thread.start()

    def finished(self, *, wait: bool) -> list[Result]:
        found: list[Result] = []
        while self._pending:
            try:
                found.append(self._results.get(block=wait and not found))
            except Empty:
                break
            self._pending -= 1
        return found

    def close(self) -> None:
        with self._changed:
            self._pending -= len(self._queue)
            self._queue.clear()

    def _work(self) -> None:
        family: str | None = None
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                key, task, bench = self._queue.pop(
                    next_of([(one[0], one[1]) for one in self._queue], family)
                )
            family = task.family
            try:
                self._results.put((key, bench.judge(task)))
            except Exception as error:  # handed to the main thread, which knows what to do with it
                self._results.put((key, error))


def raise_unless_expected(error: Exception) -> None:
    """Let pass what is told in a row; anything else is a fault of the program and ends the scan."""
    if not isinstance(error, ScanError):
        raise error
