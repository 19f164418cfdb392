"""Workers that draw on a Ray cluster: one for each GPU, or for each CPU where there is none.

A node draws and returns pictures; this process reads their faces, searches them and writes. So no
template and no secret leaves it. If a node dies, another worker examines the checkpoint again. The
module uses Ray Core actors and `ray.wait`; it was tested with Ray 2.60.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import ClusterUnreachable, WorkerLost, first_line
from scanner.identification.snapshot import GallerySnapshot
from scanner.sampling.options import SamplerOptions
from scanner.sampling.remote_sampler import RemoteSource, SamplerNode
from scanner.sampling.staging import Staging
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.worker_answer import SamplerSource, WorkerAnswer
from scanner.scanning.workers import Submission

if TYPE_CHECKING:
    from ray.actor import ActorHandle

log = logging.getLogger(__name__)

_WAIT_S = 2.0
_CONNECT_TIMEOUT_S = 5.0
IdentifierOf = Callable[[SamplerSource, GallerySnapshot], CheckpointIdentifier]
"""Returns an identifier that draws with a source and searches a snapshot."""


class RayCluster:
    """A connection to a cluster.

    Args:
        address: address of the cluster; "auto" for one that runs on this machine.
        staging: through which checkpoints travel; None if the nodes see the same folder.
    """

    def __init__(self, address: str, options: SamplerOptions, staging: Staging | None) -> None:
        """Connect.

        Raises:
            ClusterUnreachable: no cluster answers at the address.
        """
        try:
            import ray
        except ImportError as error:
            raise ClusterUnreachable(
                address, "Ray is not installed: pip install 'portrait-scanner[fleet]'"
            ) from error

        self.ray, self.address = ray, address or "auto"
        self.options, self.staging = options, staging
        self._connect()
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        self._resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self.size = gpus or max(1, int(resources.get("CPU", 1)))

    def _connect(self) -> None:
        if self.ray.is_initialized():
            return
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            host, colon, port = self.address.rpartition(":")
            # Checked first, because Ray itself would try to connect for many minutes.
            if colon and "/" not in self.address and port.isdigit():
                endpoint = (host.strip("[]"), int(port))
                socket.create_connection(endpoint, timeout=_CONNECT_TIMEOUT_S).close()
            self.ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise self.unreachable(error) from error

    def workers(self, identifier_of: IdentifierOf) -> list[RayWorker]:
        """Return as many workers as the cluster has GPUs, or CPUs."""
        return [RayWorker(self, identifier_of) for _ in range(self.size)]

    def start_node(self) -> ActorHandle:
        """Start a process that draws; it begins when the cluster has room for it."""
        with self._reachable():
            actor_class = self.ray.remote(SamplerNode).options(**self._resources)
            return actor_class.remote(self.options, self.staging)

    def call(
        self,
        node: ActorHandle,
        is_closed: Callable[[], bool],
        method: str,
        *args: Any,
        **more: Any,
    ) -> Any:
        """Call a method of a node and wait for its result.

        Raises:
            ClusterUnreachable: the cluster is gone.
            WorkerLost: the process died, or the worker was closed.
        """
        with self._reachable():
            reference = getattr(node, method).remote(*args, **more)
        return self._wait(reference, is_closed)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Raise errors of Ray as ClusterUnreachable."""
        try:
            yield
        except self.ray.exceptions.RayError as error:
            raise self.unreachable(error) from error

    def _wait(self, reference: Any, is_closed: Callable[[], bool]) -> Any:
        exceptions = self.ray.exceptions
        with self._reachable():
            while not self.ray.wait([reference], timeout=_WAIT_S)[0]:
                if is_closed():
                    raise WorkerLost
                self._require_cluster()
        try:
            return self.ray.get(reference)
        except exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            raise cause if isinstance(cause, Exception) else error from None
        except exceptions.RayError as error:
            raise WorkerLost(type(error).__name__) from error

    def _require_cluster(self) -> None:
        """Raise if the cluster was replaced by another one, which would never answer."""
        from ray.experimental import internal_kv

        # `ray.nodes()` would abort the process instead, and Ray has no public function for this.
        internal_kv._internal_kv_exists(b"portrait-scanner")  # noqa: SLF001

    def unreachable(self, error: Exception) -> ClusterUnreachable:
        """Return the error that says that the cluster is gone."""
        cause = first_line(error).split(". Note:")[0]
        return ClusterUnreachable(self.address, cause)

    def disconnect(self) -> None:
        """Disconnect, so that a later cluster connects again."""
        self.ray.shutdown()


class RayWorker:
    """A worker whose images are drawn by a node of a cluster.

    Attributes:
        pid: of the process that draws; 0 until it has started.
        busy: whether a checkpoint is under way.
    """

    def __init__(self, cluster: RayCluster, identifier_of: IdentifierOf) -> None:
        self._cluster, self._identifier_of = cluster, identifier_of
        self._node: ActorHandle | None = None
        self._closed, self.place = threading.Event(), cluster.address
        self._identifier: CheckpointIdentifier | None = None
        self.pid, self.busy = 0, False

    def prepare(self) -> bool:
        """Wait until a process draws; the others do the work of one for which there is no room.

        Raises:
            ClusterUnreachable: the cluster is gone.
            WorkerLost: the process died while it started.
        """
        if self._closed.is_set() or self.pid:
            return not self._closed.is_set()
        try:
            self._node = self._cluster.start_node()
            self.pid = self._call("ready")
        except WorkerLost:
            self._give_up()
            if self._closed.is_set():
                return False
            raise
        return not self._closed.is_set()

    def identify(self, submission: Submission) -> WorkerAnswer:
        """Examine a checkpoint.

        Raises:
            ClusterUnreachable: the cluster is gone.
            WorkerLost: the process that draws died.
            StagingFailed: the checkpoint could not be sent.
        """
        request, staging = submission.request, self._cluster.staging
        self.busy = True
        try:
            with ExitStack() as stack:
                if staging is not None and request.problem is None:
                    request = _staged(request, staging, stack)
                return self._identifier_with(submission.snapshot).identify(
                    request, submission.known
                )
        except WorkerLost:
            self._give_up()
            raise
        finally:
            self.busy = False

    def _identifier_with(self, snapshot: GallerySnapshot) -> CheckpointIdentifier:
        if self._identifier is None:
            source = RemoteSource(self._cluster.options, self._call)
            self._identifier = self._identifier_of(source, snapshot)
        elif self._identifier.snapshot.snapshot_id != snapshot.snapshot_id:
            self._identifier = self._identifier.with_snapshot(snapshot)
        return self._identifier

    def _call(self, method: str, *args: Any, **more: Any) -> Any:
        """Call a method of the node and wait for its result."""
        if self._node is None or self._closed.is_set():
            raise WorkerLost
        return self._cluster.call(self._node, self._closed.is_set, method, *args, **more)

    def _give_up(self) -> None:
        """Forget the process; the next call of `prepare` starts another one."""
        if self._node is not None:
            with suppress(Exception):  # it may be gone already, and the cluster too
                self._cluster.ray.kill(self._node, no_restart=True)
        self._node, self._identifier, self.pid = None, None, 0

    def close(self) -> None:
        """Stop the process."""
        self._closed.set()
        if self._node is not None:
            with suppress(Exception):
                self._cluster.ray.kill(self._node, no_restart=True)


def _staged(request: SamplingRequest, staging: Staging, stack: ExitStack) -> SamplingRequest:
    """Send the files of a request; return it with the names under which they travel."""

    def sent(path: Path, sha256: str) -> Path:
        return Path(stack.enter_context(staging.staged(path, sha256)))

    companions = (one for one in request.companions if one.path.is_file())
    return replace(
        request,
        path=sent(request.path, request.sha256),
        companions=tuple(replace(one, path=sent(one.path, one.sha256)) for one in companions),
    )
