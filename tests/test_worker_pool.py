"""The pool of workers: lost workers, workers that cannot start, and several clients."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from scanner.errors import ClusterUnreachable, WorkerLost, WorkersLost
from scanner.scanning.workers import MOST_TRIES, Submission, WorkerPool


@dataclass
class Request:
    """The part of a sampling request that a pool reads."""

    family: str = "SD1"


@dataclass
class PlannedWorker:
    """A worker that does what is planned: an exception is raised, anything else returned."""

    starts: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    place: str = "here"
    examined: list[str] = field(default_factory=list)
    gate: threading.Event | None = None

    def prepare(self) -> bool:
        start = self.starts.pop(0) if self.starts else True
        if isinstance(start, Exception):
            raise start
        return bool(start)

    def identify(self, submission: Submission) -> Any:
        if self.gate is not None:
            self.gate.wait(20)
        self.examined.append(submission.key)
        answer = self.answers.pop(0) if self.answers else f"answer {submission.key}"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


def submission(key: str, family: str = "SD1") -> Submission:
    return Submission(key, Request(family), None)  # type: ignore[arg-type]


def test_a_checkpoint_whose_worker_died_is_examined_again() -> None:
    worker = PlannedWorker(answers=[WorkerLost(), WorkerLost(), "done"])
    pool = WorkerPool([worker])
    client = pool.client()
    client.submit(submission("a"))
    assert client.finished(wait=True) == [("a", "done")]
    assert pool.lost_workers == 2
    pool.close()


def test_after_three_losses_it_is_given_up_and_the_count_begins_anew() -> None:
    worker = PlannedWorker(answers=[WorkerLost()] * (2 * MOST_TRIES - 1))
    client = WorkerPool([worker]).client()
    client.submit(submission("a"))
    [(_, error)] = client.finished(wait=True)
    assert isinstance(error, WorkersLost)
    client.submit(submission("a"))
    assert client.finished(wait=True) == [("a", "answer a")]


@pytest.mark.parametrize("start", [ClusterUnreachable("there", "gone"), RuntimeError("a mistake")])
def test_whoever_asks_a_pool_without_workers_is_told_at_once(start: Exception) -> None:
    pool = WorkerPool([PlannedWorker(starts=[start])])
    first = pool.client()
    first.submit(submission("a"))
    with pytest.raises(ClusterUnreachable):
        first.finished(wait=True)
    later = pool.client()
    later.submit(submission("b"))
    with pytest.raises(ClusterUnreachable):
        later.finished(wait=True)


def test_a_worker_that_cannot_start_leaves_its_work_to_the_others() -> None:
    broken = PlannedWorker(starts=[WorkerLost("no memory")] * MOST_TRIES)
    sound = PlannedWorker()
    client = WorkerPool([broken, sound]).client()
    for number in range(5):
        client.submit(submission(str(number)))
    found = []
    while client.pending:
        found += client.finished(wait=True)
    assert sorted(key for key, _ in found) == ["0", "1", "2", "3", "4"]
    assert broken.examined == []


def test_a_later_client_goes_first_and_gets_only_its_own_answers() -> None:
    gate = threading.Event()
    worker = PlannedWorker(gate=gate)
    pool = WorkerPool([worker])
    scan = pool.client()
    for key in ("a", "b", "c"):
        scan.submit(submission(key))
    search = pool.client()
    search.submit(submission("urgent", "SDXL"))
    gate.set()
    assert search.finished(wait=True) == [("urgent", "answer urgent")]
    found = []
    while scan.pending:
        found += scan.finished(wait=True)
    assert [key for key, _ in found] == ["a", "b", "c"]
    assert worker.examined.index("urgent") <= 1


def test_what_a_closed_client_submitted_is_dropped() -> None:
    gate = threading.Event()
    worker = PlannedWorker(gate=gate)
    pool = WorkerPool([worker])
    ended, other = pool.client(), pool.client()
    other.submit(submission("first"))
    ended.submit(submission("dropped"))
    ended.close()
    gate.set()
    assert other.finished(wait=True) == [("first", "answer first")]
    other.submit(submission("last"))
    assert other.finished(wait=True) == [("last", "answer last")]
    assert worker.examined == ["first", "last"]
