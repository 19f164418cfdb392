"""A worker pool on a Ray cluster: one stateless worker for each GPU; only the driver writes.

If a worker or its node dies, another worker examines the checkpoint again. Templates are sent to
the workers in memory when they start and are never written there. Files are read from a folder that
all nodes share. The module uses Ray Core actors and `ray.wait`; it was tested with Ray 2.60.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from face_index.faces.face import Prototypes
from scanner.errors import ClusterUnreachable, WorkersLost
from scanner.identification.snapshot import GallerySnapshot
from scanner.scanning.identifier import CheckpointIdentifier, SamplingRequest, WorkerAnswer
from scanner.scanning.workers import Result, next_of

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

# After this many lost workers the file is assumed to be the cause.
MOST_TRIES = 3
_WAIT_S = 10.0
_CONNECT_TIMEOUT_S = 5.0
Templates = Sequence[tuple[str, Prototypes]]
OpenIdentifier = Callable[[Templates, int], CheckpointIdentifier]


class RayWorker:
    """A Ray actor: one identifier in its own process."""

    def __init__(self, open_identifier: OpenIdentifier, version: int, templates: Templates) -> None:
        self._identifier = open_identifier(templates, version)

    def ready(self) -> int:
        """Return the process id, once everything is loaded."""
        return os.getpid()

    def identify(self, request: SamplingRequest) -> WorkerAnswer:
        """Examine one checkpoint."""
        return self._identifier.identify(request)


@dataclass(slots=True)
class _WorkerSlot:
    """A worker and the request that it examines.

    Attributes:
        beginning: reference to the answer of `ready`, None once it came. A worker for which the
            cluster has no room never answers, and the others do its work.
        answer: reference to the answer to the request.
        family: family of the base model that the worker has loaded.
    """

    worker: ActorHandle
    beginning: Any
    pid: int = 0
    key: str = ""
    request: SamplingRequest | None = None
    answer: Any = None
    family: str | None = None


class RayWorkerPool:
    """Workers of a Ray cluster, one for each GPU, or for each CPU where there is none."""

    def __init__(
        self, address: str, open_identifier: OpenIdentifier, snapshot: GallerySnapshot
    ) -> None:
        """Connect and start workers.

        Args:
            address: address of the cluster; "auto" for one that runs on this machine.
            open_identifier: opens an identifier in a worker's process; it is pickled.
            snapshot: the gallery that is searched; a request with another one replaces the workers.

        Raises:
            ClusterUnreachable: no cluster answers at the address.
        """
        try:
            import ray
        except ImportError as error:
            raise ClusterUnreachable(
                address, "Ray is not installed: pip install 'portrait-scanner[fleet]'"
            ) from error

        self._ray = ray
        self._address = address
        self._connect(address or "auto")
        self._open_identifier, self._snapshot = open_identifier, snapshot
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._queue: list[tuple[str, SamplingRequest]] = []
        self._tries: dict[str, int] = {}
        self._given_up: list[Result] = []
        self.lost_workers = 0
        self._slots = [
            self._new_slot() for _ in range(gpus or max(1, int(resources.get("CPU", 1))))
        ]

    def _connect(self, address: str) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            host, colon, port = address.rpartition(":")
            # Checked first, because Ray itself would try to connect for many minutes.
            if colon and "/" not in address and port.isdigit():
                endpoint = (host.strip("[]"), int(port))
                socket.create_connection(endpoint, timeout=_CONNECT_TIMEOUT_S).close()
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterUnreachable(address, str(error).strip().splitlines()[0]) from error

    def _new_slot(self) -> _WorkerSlot:
        actor_class = self._ray.remote(RayWorker).options(**self._resources)
        snapshot = self._snapshot
        worker = actor_class.remote(
            self._open_identifier, snapshot.gallery_version, snapshot.templates
        )
        return _WorkerSlot(worker, worker.ready.remote())

    @property
    def pending(self) -> int:
        """Number of requests that are under way or wait."""
        return (
            len(self._queue)
            + len(self._given_up)
            + sum(slot.request is not None for slot in self._slots)
        )

    @property
    def has_room(self) -> bool:
        """Whether another request would be begun soon."""
        return len(self._queue) < 2 * len(self._slots)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn Ray's errors into ClusterUnreachable and disconnect, so a later pool reconnects.

        Errors of a single worker are handled elsewhere, so any other one means that the cluster is
        gone.
        """
        try:
            yield
        except self._ray.exceptions.RayError as error:
            self._ray.shutdown()
            cause = str(error).strip().splitlines()[0].split(". Note:")[0]
            raise ClusterUnreachable(self._address, cause) from error

    def submit(self, key: str, request: SamplingRequest, snapshot: GallerySnapshot) -> None:
        """Queue a request; another gallery than the last one replaces all workers first."""
        with self._connected():
            if snapshot.snapshot_id != self._snapshot.snapshot_id:
                self._replace_all(snapshot)
            self._queue.append((key, request))
            self._assign()

    def _replace_all(self, snapshot: GallerySnapshot) -> None:
        """Replace every worker by one with another gallery; requests under way start again."""
        self._snapshot = snapshot
        for number, slot in enumerate(self._slots):
            if slot.request is not None:
                self._queue.insert(0, (slot.key, slot.request))
            self._replace(number)

    def _assign(self) -> None:
        for slot in self._slots:
            if slot.request is None and slot.beginning is None and self._queue:
                slot.key, slot.request = self._queue.pop(next_of(self._queue, slot.family))
                slot.family = slot.request.family
                slot.answer = slot.worker.identify.remote(slot.request)

    def finished(self, *, wait: bool) -> list[Result]:
        """Return answers since the last call; with `wait` at least one, if any is pending."""
        with self._connected():
            return self._collect(wait=wait)

    def _collect(self, *, wait: bool) -> list[Result]:
        found, self._given_up = self._given_up, []
        while not found and self.pending:
            under_way = {
                reference: number
                for number, slot in enumerate(self._slots)
                if (reference := slot.beginning if slot.request is None else slot.answer)
                is not None
            }
            answered, _ = self._ray.wait(
                list(under_way), num_returns=1, timeout=_WAIT_S if wait else 0
            )
            if wait and not answered:
                self._require_cluster()
            for reference in answered:
                self._take(under_way[reference], found)
            found += self._given_up
            self._given_up = []
            self._assign()
            if not wait:
                break
        return found

    def _require_cluster(self) -> None:
        """Raise if the cluster was replaced by another one, which would never answer."""
        from ray.experimental import internal_kv

        # `ray.nodes()` would abort the process instead, and Ray has no public function for this.
        internal_kv._internal_kv_exists(b"portrait-scanner")  # noqa: SLF001

    def _take(self, number: int, found: list[Result]) -> None:
        """Take a worker's answer, which is its process id or a verdict; replace a lost worker."""
        slot = self._slots[number]
        try:
            if slot.request is None:
                slot.pid, slot.beginning = self._ray.get(slot.beginning), None
                return
            found.append((slot.key, self._ray.get(slot.answer)))
            self._tries.pop(slot.key, None)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(getattr(error, "cause", None), Exception) else error
            found.append((slot.key, cause))
        except self._ray.exceptions.RayError as error:
            self._lost(number, error)
            return
        slot.key, slot.request, slot.answer = "", None, None

    def _lost(self, number: int, error: Exception) -> None:
        slot = self._slots[number]
        self._tries[slot.key] = self._tries.get(slot.key, 0) + 1
        self.lost_workers += 1
        log.warning("a worker was lost (%s); its checkpoint is done again", type(error).__name__)
        if slot.request is None:
            # The worker died while loading, so no file is the cause.
            cause = getattr(error, "cause", None)
            if isinstance(cause, Exception) or self._tries[""] > MOST_TRIES * len(self._slots):
                raise cause if isinstance(cause, Exception) else WorkersLost(self._tries[""])
        elif self._tries[slot.key] >= MOST_TRIES:
            self._given_up.append((slot.key, WorkersLost(self._tries[slot.key])))
        else:
            self._queue.insert(0, (slot.key, slot.request))
        self._replace(number)

    def _replace(self, number: int) -> None:
        self._ray.kill(self._slots[number].worker, no_restart=True)
        self._slots[number] = self._new_slot()

    def close(self) -> None:
        """Drop the queue and stop all workers."""
        self._queue.clear()
        if self._ray.is_initialized():
            for slot in self._slots:
                self._ray.kill(slot.worker, no_restart=True)
