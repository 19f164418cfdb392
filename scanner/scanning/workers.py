"""The pool of workers that examine checkpoints while the scan lists and fetches.

A worker is a thread of this process. It draws with models of its own, or with those of a node of a
cluster (scanner.scanning.ray_workers), and it reads faces and searches them here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import Protocol

from scanner.errors import ClusterUnreachable, ScanError, WorkerLost, WorkersLost, first_line
from scanner.identification.snapshot import GallerySnapshot
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.observations import KnownSamples
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.worker_answer import WorkerAnswer

log = logging.getLogger(__name__)

LOOKAHEAD = 8
# After this many lost workers the file is assumed to be the cause.
MOST_TRIES = 3
# Longer than a worker on a cluster takes to see that it was closed.
_END_S = 10.0

_THREAD_NAME = "examines checkpoints"


def worker_threads_end(timeout_s: float) -> bool:
    """Wait until the threads of all pools of this process have ended; return whether they have.

    A thread that ends while Python ends is stopped inside torch, and that aborts the process.
    """
    until = time.monotonic() + timeout_s
    threads = [thread for thread in threading.enumerate() if thread.name == _THREAD_NAME]
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint to examine.

    Attributes:
        key: returned with the answer.
        snapshot: the gallery to search.
        known: the samples that were drawn of it before.
    """

    key: str
    request: SamplingRequest
    snapshot: GallerySnapshot
    known: KnownSamples | None = None


Result = tuple[str, WorkerAnswer | Exception]


class Worker(Protocol):
    """Examines one checkpoint after the other.

    Attributes:
        place: where it draws, for messages.
    """

    @property
    def place(self) -> str: ...

    def prepare(self) -> bool:
        """Wait until it can examine a checkpoint; False if it was closed.

        Raises:
            ClusterUnreachable: it never will.
            WorkerLost: it died while it started, and can be started again.
        """

    def identify(self, submission: Submission) -> WorkerAnswer:
        """Examine a checkpoint.

        Raises:
            ClusterUnreachable: nothing can be examined any more.
            WorkerLost: another worker must examine it.
        """

    def close(self) -> None:
        """Give up what is under way."""


class LocalWorker:
    """A worker with models of this process.

    Args:
        identifier_for: returns the identifier of a snapshot; all identifiers share their models.
    """

    def __init__(self, identifier_for: Callable[[GallerySnapshot], CheckpointIdentifier]) -> None:
        self._identifier_for = identifier_for
        self.place = "this machine"

    def prepare(self) -> bool:
        """Return True: models are loaded when a checkpoint needs them."""
        return True

    def identify(self, submission: Submission) -> WorkerAnswer:
        """Examine a checkpoint."""
        identifier = self._identifier_for(submission.snapshot)
        return identifier.identify(submission.request, submission.known)

    def close(self) -> None:
        """Do nothing: a checkpoint under way is examined to its end."""


class PoolClient:
    """The submissions of one pipeline and their answers; several clients share the workers.

    A later client's submissions are examined first: a search for somebody who has just registered
    does not wait for the scan in whose midst it begins.
    """

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool, self.number = pool, number
        self.answers: SimpleQueue[Result] = SimpleQueue()
        self._pending = 0

    @property
    def pending(self) -> int:
        """Number of submissions that are under way or wait."""
        return self._pending

    @property
    def has_room(self) -> bool:
        """Whether another submission would be begun soon."""
        return self._pending < LOOKAHEAD * len(self._pool.workers)

    def submit(self, submission: Submission) -> None:
        """Queue a submission."""
        self._pending += 1
        self._pool.submit(submission, self)

    def finished(self, *, wait: bool) -> list[Result]:
        """Return answers since the last call; with `wait` at least one, if any is pending.

        Raises:
            ClusterUnreachable: the cluster is gone; close the pool.
        """
        found: list[Result] = []
        while self._pending:
            try:
                key, answer = self.answers.get(block=wait and not found)
            except Empty:
                break
            if isinstance(answer, ClusterUnreachable):
                raise answer
            found.append((key, answer))
            self._pending -= 1
        return found

    def close(self) -> None:
        """Drop the submissions that wait; nothing can be submitted afterwards."""
        self._pool.drop(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Queued:
    submission: Submission
    client: PoolClient


class WorkerPool:
    """Examines the submissions of its clients; one thread for each worker.

    Args:
        at_end: called when all threads have ended after `close`.

    Attributes:
        lost_workers: number of workers that died over a submission.
    """

    def __init__(self, workers: Sequence[Worker], at_end: Callable[[], None] | None = None) -> None:
        self.workers, self._at_end = workers, at_end
        self.lost_workers = 0
        self._tries: dict[str, int] = {}
        self._queue: list[_Queued] = []
        self._clients: list[PoolClient] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._failure: ClusterUnreachable | None = None
        self._at_work = len(workers)
        self._threads: list[threading.Thread] = []
        self._closed = False

    def client(self) -> PoolClient:
        """Return a new client."""
        client = PoolClient(self, next(self._numbers))
        with self._changed:
            self._clients.append(client)
        return client

    def submit(self, submission: Submission, client: PoolClient) -> None:
        """Queue a submission; the first one starts the threads."""
        with self._changed:
            if self._failure is not None:
                client.answers.put((submission.key, self._failure))
                return
            self._queue.append(_Queued(submission, client))
            self._changed.notify()
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, args=(worker,), name=_THREAD_NAME, daemon=True)
                for worker in self.workers
            ]
            for thread in self._threads:
                thread.start()

    def drop(self, client: PoolClient) -> None:
        """Forget a client and its submissions that wait."""
        with self._changed:
            self._clients.remove(client)
            self._queue = [queued for queued in self._queue if queued.client is not client]

    def close(self) -> None:
        """Drop the submissions that wait, and end the threads when they are done."""
        with self._changed:
            self._queue.clear()
            self._closed = True
            self._changed.notify_all()
        for worker in self.workers:
            worker.close()
        if self._at_end is not None:
            for thread in self._threads:
                thread.join(_END_S)
            self._at_end()

    def _next(self, family: str | None) -> _Queued | None:
        """Wait for the next submission; None if the pool is closed."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            newest = max(queued.client.number for queued in self._queue)
            own = [queued for queued in self._queue if queued.client.number == newest]
            chosen = own[next_of([queued.submission for queued in own], family)]
            self._queue.remove(chosen)
            return chosen

    def _work(self, worker: Worker) -> None:
        family: str | None = None
        while self._is_prepared(worker) and (queued := self._next(family)) is not None:
            submission, answers = queued.submission, queued.client.answers
            family = submission.request.family
            try:
                answer = worker.identify(submission)
            except WorkerLost:
                self._examine_again(queued)
                continue
            except Exception as error:  # the main thread handles it
                answers.put((submission.key, error))
            else:
                answers.put((submission.key, answer))
            self._tries.pop(submission.key, None)

    def _is_prepared(self, worker: Worker) -> bool:
        """Wait until a worker can examine a checkpoint; False if it never will."""
        cause = ""
        for _ in range(MOST_TRIES):
            try:
                return worker.prepare()
            except WorkerLost as error:
                cause = str(error) or "it was lost while it started"
            except Exception as error:  # a thread must not end in silence
                self._worker_failed(
                    error
                    if isinstance(error, ClusterUnreachable)
                    else ClusterUnreachable(worker.place, first_line(error))
                )
                return False
        self._worker_failed(ClusterUnreachable(worker.place, f"a worker cannot start: {cause}"))
        return False

    def _worker_failed(self, error: ClusterUnreachable) -> None:
        """Go on with the other workers; without any, tell every client, now and later."""
        with self._changed:
            self._at_work -= 1
            if self._at_work > 0 or self._closed:
                log.warning("a worker ends: %s", error)
                return
            self._failure = error
            for client in self._clients:
                client.answers.put(("", error))

    def _examine_again(self, queued: _Queued) -> None:
        """Queue a submission whose worker died, unless too many died over it."""
        key = queued.submission.key
        with self._changed:
            if self._closed or queued.client not in self._clients:
                return
            self.lost_workers += 1
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            log.warning("a worker was lost; its checkpoint is examined again")
            if tries >= MOST_TRIES:
                del self._tries[key]
                queued.client.answers.put((key, WorkersLost(tries)))
                return
            self._queue.insert(0, queued)
            self._changed.notify()


def next_of(queue: Sequence[Submission], family: str | None) -> int:
    """Return the position of the next submission: one for the loaded base model, else the oldest.

    Args:
        family: family of the loaded base model.
    """
    same = (place for place, one in enumerate(queue) if one.request.family == family)
    return next(same, 0)


def raise_unless_expected(error: Exception) -> None:
    """Raise an error that is a defect of the program; a ScanError becomes the reason of a row."""
    if not isinstance(error, ScanError):
        raise error
