"""The same scan on a Ray cluster: stateless workers, one for each GPU, that judge; the driver alone writes.

A worker that dies, or whose node does, costs the checkpoint it had in hand: another one does it again. Templates go to the
workers in memory when they start and are never written there; files are read from a folder that all nodes see.
Ray Core actors, ray.wait; tried on Ray 2.60.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from face_index.face import Prototypes
from scanner.crew import Result, next_of
from scanner.errors import FleetUnreachable, WorkersLost
from scanner.examination import Budget
from scanner.judging import Bench, Judgement, Task, bench_from
from scanner.settings import Settings

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

# A file that kills worker after worker is the file's fault.
MOST_TRIES = 3
_SECRETS = ("civitai_token", "huggingface_token", "modelscope_token", "github_token", "webhook_secret", "master_key", "next_master_key")  # fmt: skip
Templates = tuple[int, list[tuple[str, Prototypes]]]


class Worker:
    """One bench in a process of its own."""

    def __init__(self, settings: Settings, templates: Templates, budget: Budget, threads: int | None) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._bench: Bench = bench_from(settings, templates[1], templates[0], budget)

    def judge(self, task: Task) -> Judgement:
        return self._bench.judge(task)


@dataclass(slots=True)
class _Seat:
    """A worker and what it has in hand."""

    worker: ActorHandle
    reference: Any = None
    key: str = ""
    task: Task | None = None
    family: str | None = None


class RayCrew:
    """Workers of a Ray cluster; the gallery is the one of the moment the crew was called together."""

    def __init__(
        self, settings: Settings, templates: Callable[[], Templates], budget: Budget, threads: int | None = None
    ) -> None:
        """Connect and start workers.

        Args:
            templates: gives gallery version and templates; asked again when the version has changed.
            threads: of each worker on machines without a GPU, None for torch's own choice.

        Raises:
            FleetUnreachable: no cluster answers at the address.
        """
        import ray

        self._ray = ray
        self._connect(settings.ray or "auto")
        self._settings = settings.model_copy(update=dict.fromkeys(_SECRETS))
        self._templates, self._budget, self._threads = templates, budget, threads
        self._gallery = templates()
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._options: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._seats = [_Seat(self._hire()) for _ in range(gpus or max(1, int(resources.get("CPU", 1))))]
        self._queue: list[tuple[str, Task]] = []
        self._tries: dict[str, int] = {}
        self._given_up: list[Result] = []

    def _connect(self, address: str) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise FleetUnreachable(address, str(error).strip().splitlines()[0]) from error

    def _hire(self) -> ActorHandle:
        return (
            self._ray.remote(Worker)
            .options(**self._options)
            .remote(self._settings, self._gallery, self._budget, self._threads)
        )

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._given_up) + sum(seat.task is not None for seat in self._seats)

    @property
    def has_room(self) -> bool:
        return len(self._queue) < 2 * len(self._seats)

    def submit(self, key: str, task: Task) -> None:
        self._renew_gallery()
        self._queue.append((key, task))
        self._assign()

    def _renew_gallery(self) -> None:
        """Whoever withdrew meanwhile must not be looked for: idle workers are replaced at once, busy ones when they are done."""
        now = self._templates()
        if now[0] == self._gallery[0]:
            return
        self._gallery = now
        for seat in self._seats:
            if seat.task is not None:
                self._queue.insert(0, (seat.key, seat.task))
            self._replace(seat)

    def _assign(self) -> None:
        for seat in self._seats:
            if seat.task is None and self._queue:
                seat.key, seat.task = self._queue.pop(next_of(self._queue, seat.family))
                seat.family = seat.task.family
                seat.reference = seat.worker.judge.remote(seat.task)

    def finished(self, *, wait: bool) -> list[Result]:
        found, self._given_up = self._given_up, []
        while not found:
            busy = {seat.reference: seat for seat in self._seats if seat.task is not None}
            if not busy:
                break
            ready, _ = self._ray.wait(list(busy), num_returns=1, timeout=None if wait else 0)
            found += [result for reference in ready if (result := self._result(busy[reference])) is not None]
            found += self._given_up
            self._given_up = []
            self._assign()
            if not wait:
                break
        return found

    def _result(self, seat: _Seat) -> Result | None:
        key, task = seat.key, seat.task
        try:
            judgement = self._ray.get(seat.reference)
        except self._ray.exceptions.RayTaskError as error:
            seat.task = None
            return key, error.cause if isinstance(getattr(error, "cause", None), Exception) else error
        except self._ray.exceptions.RayError as error:
            if task is not None:
                self._again(key, task, error)
            self._replace(seat)
            return None
        seat.task = None
        return key, judgement

    def _again(self, key: str, task: Task, error: Exception) -> None:
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] >= MOST_TRIES:
            self._given_up.append((key, WorkersLost(self._tries[key])))
            return
        log.warning("a worker was lost (%s); its checkpoint is done again", type(error).__name__)
        self._queue.insert(0, (key, task))

    def _replace(self, seat: _Seat) -> None:
        self._ray.kill(seat.worker, no_restart=True)
        seat.worker, seat.task, seat.reference, seat.family = self._hire(), None, None, None

    def worker_pids(self) -> list[int]:
        """Process ids of the workers, for tests that kill them."""
        return list(self._ray.get([seat.worker.__ray_call__.remote(lambda _: os.getpid()) for seat in self._seats]))

    def close(self) -> None:
        for seat in self._seats:
            self._ray.kill(seat.worker, no_restart=True)
        self._queue.clear()
