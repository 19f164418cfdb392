"""The same scan on a Ray cluster: stateless workers, one for each GPU, that judge; the driver alone writes.

A worker that dies, or whose node does, costs the checkpoint it had in hand: another one does it again. Templates go to the
workers in memory when they start and are never written there; files are read from a folder that all nodes see.
Ray Core actors and ray.wait; tried on Ray 2.60.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from face_index.face import Prototypes
from scanner.crew import Result, next_of
from scanner.errors import FleetUnreachable, WorkersLost
from scanner.examination import Budget
from scanner.judging import Bench, Judgement, Task, bench_from
from scanner.settings import Settings
from scanner.watch import Watch

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

# A file that kills worker after worker is the file's fault.
MOST_TRIES = 3
_ASK_EVERY_S = 10.0
_REACH_S = 5.0
# What judging reads. An allow-list: a setting that is added later does not travel unless it is named here.
ON_WORKERS = (
    "home", "cache", "face_pack", "base_model", "image_check", "batch", "use", "device", "fpir",
    "possible_fpir", "gallery_index",
)  # fmt: skip
Templates = Sequence[tuple[str, Prototypes]]


def settings_of_workers(settings: Settings) -> Settings:
    """What workers get of the settings: what judging reads (ON_WORKERS); everything else has its default."""
    return Settings.model_construct(**{name: getattr(settings, name) for name in ON_WORKERS}, operator="")


class Worker:
    """One bench in a process of its own."""

    def __init__(self, settings: Settings, version: int, templates: Templates, budget: Budget) -> None:
        self._bench: Bench = bench_from(settings, templates, version, budget)

    def ready(self) -> int:
        """The process id, once everything is loaded."""
        return os.getpid()

    def judge(self, task: Task) -> Judgement:
        return self._bench.judge(task)


@dataclass(slots=True)
class _Seat:
    """A worker and what it has in hand.

    Attributes:
        beginning: answers once the worker has loaded everything, None after that. A worker for which the cluster has no
            place any more never answers, and the others do its work.
        answer: to the task in hand.
    """

    worker: ActorHandle
    beginning: Any
    pid: int = 0
    key: str = ""
    task: Task | None = None
    answer: Any = None
    family: str | None = None


class RayCrew:
    """Workers of a Ray cluster, as many as it has GPUs, or CPUs without any."""

    def __init__(self, settings: Settings, watch: Watch, budget: Budget) -> None:
        """Connect and start workers.

        Args:
            watch: whom they look for; they are replaced as soon as a task comes with another.

        Raises:
            FleetUnreachable: no cluster answers at the address.
        """
        try:
            import ray
        except ImportError as error:
            raise FleetUnreachable(
                str(settings.ray), "Ray is not installed: pip install 'portrait-scanner[fleet]'"
            ) from error

        self._ray = ray
        self._connect(settings.ray or "auto")
        self._settings = settings_of_workers(settings)
        self._watch, self._budget = watch, budget
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._place: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._queue: list[tuple[str, Task]] = []
        self._tries: dict[str, int] = {}
        self._given_up: list[Result] = []
        self.lost_workers = 0
        self._seats = [self._new_seat() for _ in range(gpus or max(1, int(resources.get("CPU", 1))))]

    def _connect(self, address: str) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            host, mark, port = address.rpartition(":")
            if mark and "/" not in address and port.isdigit():  # Ray itself would try for many minutes
                socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise FleetUnreachable(address, str(error).strip().splitlines()[0]) from error

    def _new_seat(self) -> _Seat:
        hired = self._ray.remote(Worker).options(**self._place)
        worker = hired.remote(self._settings, self._watch.gallery_version, self._watch.templates, self._budget)
        return _Seat(worker, worker.ready.remote())

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._given_up) + sum(seat.task is not None for seat in self._seats)

    @property
    def has_room(self) -> bool:
        return len(self._queue) < 2 * len(self._seats)

    @contextmanager
    def _in_touch(self) -> Iterator[None]:
        """What Ray says beyond a worker's answer means that the cluster is gone: a later crew connects anew."""
        try:
            yield
        except self._ray.exceptions.RayError as error:
            self._ray.shutdown()
            cause = str(error).strip().splitlines()[0].split(". Note:")[0]
            raise FleetUnreachable(str(self._settings.ray), cause) from error

    def submit(self, key: str, task: Task, watch: Watch) -> None:
        with self._in_touch():
            if watch.snapshot != self._watch.snapshot:
                self._look_for_others(watch)
            self._queue.append((key, task))
            self._assign()

    def _look_for_others(self, watch: Watch) -> None:
        """Somebody entered or withdrew: every worker is replaced at once, and what it had in hand is done again."""
        self._watch = watch
        for number, seat in enumerate(self._seats):
            if seat.task is not None:
                self._queue.insert(0, (seat.key, seat.task))
            self._replace(number)

    def _assign(self) -> None:
        for seat in self._seats:
            if seat.task is None and seat.beginning is None and self._queue:
                seat.key, seat.task = self._queue.pop(next_of(self._queue, seat.family))
                seat.family = seat.task.family
                seat.answer = seat.worker.judge.remote(seat.task)

    def finished(self, *, wait: bool) -> list[Result]:
        with self._in_touch():
            return self._collect(wait=wait)

    def _collect(self, *, wait: bool) -> list[Result]:
        found, self._given_up = self._given_up, []
        while not found and self.pending:
            under_way = {
                reference: number
                for number, seat in enumerate(self._seats)
                if (reference := seat.beginning if seat.task is None else seat.answer) is not None
            }
            answered, _ = self._ray.wait(list(under_way), num_returns=1, timeout=_ASK_EVERY_S if wait else 0)
            if wait and not answered:
                self._ask_for_the_cluster()
            for reference in answered:
                self._take(under_way[reference], found)
            found += self._given_up
            self._given_up = []
            self._assign()
            if not wait:
                break
        return found

    def _ask_for_the_cluster(self) -> None:
        """Raises where it is another one by now: no answer would ever come."""
        from ray.experimental import internal_kv

        # ray.nodes() would abort the process instead
        internal_kv._internal_kv_exists(b"portrait-scanner")  # noqa: SLF001  ray.experimental says nothing else that asks

    def _take(self, number: int, found: list[Result]) -> None:
        """What a worker answered: that it is ready, a judgement, or nothing any more; a lost one is replaced."""
        seat = self._seats[number]
        try:
            if seat.task is None:
                seat.pid, seat.beginning = self._ray.get(seat.beginning), None
                return
            found.append((seat.key, self._ray.get(seat.answer)))
            self._tries.pop(seat.key, None)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(getattr(error, "cause", None), Exception) else error
            found.append((seat.key, cause))
        except self._ray.exceptions.RayError as error:
            self._lost(number, error)
            return
        seat.key, seat.task, seat.answer = "", None, None

    def _lost(self, number: int, error: Exception) -> None:
        seat = self._seats[number]
        self._tries[seat.key] = self._tries.get(seat.key, 0) + 1
        self.lost_workers += 1
        log.warning("a worker was lost (%s); its checkpoint is done again", type(error).__name__)
        if seat.task is None:
            # One that cannot even begin has no file to blame.
            cause = getattr(error, "cause", None)
            if isinstance(cause, Exception) or self._tries[""] > MOST_TRIES * len(self._seats):
                raise cause if isinstance(cause, Exception) else WorkersLost(self._tries[""])
        elif self._tries[seat.key] >= MOST_TRIES:
            self._given_up.append((seat.key, WorkersLost(self._tries[seat.key])))
        else:
            self._queue.insert(0, (seat.key, seat.task))
        self._replace(number)

    def _replace(self, number: int) -> None:
        self._ray.kill(self._seats[number].worker, no_restart=True)
        self._seats[number] = self._new_seat()

    def close(self) -> None:
        self._queue.clear()
        if self._ray.is_initialized():
            for seat in self._seats:
                self._ray.kill(seat.worker, no_restart=True)
