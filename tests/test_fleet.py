"""A scan on a local Ray cluster of two nodes has the same verdicts, even after a worker is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scanner.clock import utc_now
from scanner.factories import settings_of_workers
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.world import ADAPTERS, load_world
from scanner.sampling.prompt_safety import usable_triggers
from scanner.scanning.identifier import SamplingRequest, WorkerAnswer
from scanner.scanning.ray_workers import RayWorkerPool
from scanner.scanning.scan import run_scan
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.worker import QueueWorker
from scanner.web.store import WebStore
from tests.conftest import Silent
from tests.opening import open_identifier, open_session
from tests.registering import register_somebody
from tests.test_cli import run
from tests.test_secrets_of_workers import WRITTEN, pickled

pytestmark = pytest.mark.slow
FILES = ["ohwx_portrait_v1", "zkw_likeness", "dvx_actor", "sepia_style", "teapot_object"]
FAMILIES = {file.file: file for file in load_world().files}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the world's people registered."""
    folder = tmp_path_factory.mktemp("fleet")
    scan_session = open_session(demo_settings(Settings(home=folder, device="cpu")))
    register_world(scan_session, Silent())
    scan_session.close()
    return folder


def settings_of(home: Path, ray_address: str | None = None) -> Settings:
    return Settings(home=home, face_pack="miniature", device="cpu", ray=ray_address)


def task_of(name: str) -> SamplingRequest:
    triage = triage_file(ADAPTERS / f"{name}.safetensors")
    return SamplingRequest(
        ADAPTERS / f"{name}.safetensors",
        str(triage.sha256),
        triage.kind,
        triage.family,
        usable_triggers(triage.triggers),
    )


def told(judgement: WorkerAnswer) -> tuple[Any, ...]:
    verdict = judgement.verdict
    return (
        verdict.outcome,
        [finding.identity_id for finding in verdict.findings],
        verdict.best_score,
        verdict.samples,
    )


@pytest.fixture(scope="module")
def expected(home: Path) -> dict[str, tuple[Any, ...]]:
    """The verdicts of one process on this machine, with one thread like each worker."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    scan_session = open_session(settings_of(home))
    snapshot = scan_session.take_snapshot()
    identifier = open_identifier(
        settings_of(home), Policy(), list(snapshot.templates), snapshot.gallery_version
    )
    found = {name: told(identifier.identify(task_of(name))) for name in FILES}
    scan_session.close()
    torch.set_num_threads(before)
    return found


def work_off(worker_pool: RayWorkerPool, snapshot: GallerySnapshot) -> dict[str, tuple[Any, ...]]:
    for name in FILES:
        worker_pool.submit(name, task_of(name), snapshot)
    found: dict[str, tuple[Any, ...]] = {}
    while worker_pool.pending:
        for key, judgement in worker_pool.finished(wait=True):
            assert isinstance(judgement, WorkerAnswer), judgement
            assert key not in found, "no checkpoint is reported twice"
            found[key] = told(judgement)
    return found


@pytest.fixture(scope="module")
def snapshot(home: Path) -> GallerySnapshot:
    scan_session = open_session(settings_of(home))
    found = scan_session.take_snapshot()
    scan_session.close()
    return found


def pool_of(cluster: Any, home: Path, snapshot: GallerySnapshot) -> RayWorkerPool:
    settings = settings_of(home, cluster.address)
    identifier = partial(open_identifier, settings_of_workers(settings), Policy())
    return RayWorkerPool(cluster.address, identifier, snapshot)


@pytest.fixture
def worker_pool(cluster: Any, home: Path, snapshot: GallerySnapshot) -> Iterator[RayWorkerPool]:
    made = pool_of(cluster, home, snapshot)
    yield made
    made.close()


def killed_once_at_work(worker_pool: RayWorkerPool) -> threading.Thread:
    """Start a thread that kills a worker as soon as it has a request."""

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            busy = [
                slot.pid for slot in worker_pool._slots if slot.request is not None and slot.pid
            ]
            if busy:
                time.sleep(0.3)
                os.kill(busy[0], signal.SIGKILL)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_scan_over_the_cluster_writes_the_same_rows(
    cluster: Any, home: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in FILES:
        (folder / f"{name}.safetensors").write_bytes(
            (ADAPTERS / f"{name}.safetensors").read_bytes()
        )
    scan_session = open_session(settings_of(home, cluster.address))
    result = run_scan(scan_session, [str(folder)], Silent())
    assert isinstance(scan_session.worker_pool(), RayWorkerPool)
    samples = {
        name: len(
            scan_session.scan_store.samples(str(triage_file(folder / f"{name}.safetensors").sha256))
        )
        for name in FILES
    }
    scan_session.close()
    rows = {row["file"].removesuffix(".safetensors"): row for row in result.to_json_rows()}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        name: one[0] for name, one in expected.items()
    }
    assert (
        {name: row["samples"] for name, row in rows.items()}
        == {name: one[3] for name, one in expected.items()}
        == samples
    )


def test_a_killed_worker_costs_nothing_but_time(
    worker_pool: RayWorkerPool, snapshot: GallerySnapshot, expected: dict[str, Any]
) -> None:
    killer = killed_once_at_work(worker_pool)
    assert work_off(worker_pool, snapshot) == expected
    killer.join()
    assert worker_pool.lost_workers == 1


def test_a_lost_node_costs_nothing_but_time(
    cluster: Any, home: Path, snapshot: GallerySnapshot, expected: dict[str, Any]
) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    worker_pool = pool_of(cluster, home, snapshot)
    assert len(worker_pool._slots) == 3
    loss = threading.Timer(6.0, cluster.remove_node, (node,))
    loss.start()
    assert work_off(worker_pool, snapshot) == expected
    loss.join()
    # The cluster has no room for the third worker any more; the two others go on.
    assert work_off(worker_pool, snapshot) == expected
    worker_pool.close()


def test_whoever_registers_while_a_cluster_judges_is_in_the_verdict_that_names_them(
    cluster: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files under way are examined again with the new gallery.

    They must not be stored as verdicts against the old gallery.
    """
    unscanned = shutil.ignore_patterns("scans.db*", "samples")
    shutil.copytree(home, tmp_path / "home", ignore=unscanned)
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("sepia_style", "teapot_object"):
        shutil.copy(ADAPTERS / f"{name}.safetensors", folder)
    scan_session = open_session(settings_of(tmp_path / "home", cluster.address))
    before = scan_session.take_snapshot()
    submitted: list[str] = []
    submit = RayWorkerPool.submit

    def registering(
        worker_pool: RayWorkerPool, key: str, task: SamplingRequest, snapshot: GallerySnapshot
    ) -> None:
        submit(worker_pool, key, task, snapshot)
        submitted.append(key)
        if len(submitted) == 1:
            register_somebody(scan_session)

    monkeypatch.setattr(RayWorkerPool, "submit", registering)
    rows = run_scan(scan_session, [str(folder)], Silent()).to_json_rows()
    after = scan_session.take_snapshot()
    scan_session.close()
    assert (len(before.gallery) + 1, before.gallery_version + 1) == (
        len(after.gallery),
        after.gallery_version,
    )
    assert {row["gallery_version"] for row in rows} == {after.gallery_version}
    # Both are kept as verdicts of the new gallery: the next scan needs no worker.
    away = open_session(settings_of(tmp_path / "home", "nowhere.invalid:6379"))
    assert [
        row["gallery_version"] for row in run_scan(away, [str(folder)], Silent()).to_json_rows()
    ] == [after.gallery_version] * 2
    away.close()


def test_a_file_that_kills_every_worker_is_told_and_does_not_stop_the_rest(
    worker_pool: RayWorkerPool, snapshot: GallerySnapshot
) -> None:
    over = threading.Event()

    def strike() -> None:
        while not over.wait(0.05):
            for slot in list(worker_pool._slots):
                if slot.key == "deadly" and slot.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(slot.pid, signal.SIGKILL)

    thread = threading.Thread(target=strike)
    thread.start()
    worker_pool.submit("deadly", task_of("ohwx_portrait_v1"), snapshot)
    [(key, error)] = worker_pool.finished(wait=True)
    over.set()
    thread.join()
    assert key == "deadly"
    assert "workers died one after another" in str(error)
    worker_pool.submit("next", task_of("sepia_style"), snapshot)
    [(_, judgement)] = worker_pool.finished(wait=True)
    assert told(judgement)[0] == "clear"


def test_the_worker_behind_the_pages_waits_for_a_cluster_that_is_gone(
    cluster: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the head node was restarted during a scan.

    The requests under way are queued again, and the next worker pool reconnects.
    """
    import ray

    calls: list[str] = []
    real = RayWorkerPool._assign

    def assign(worker_pool: RayWorkerPool) -> None:
        calls.append("")
        if len(calls) == 1:
            raise ray.exceptions.RpcError(
                "WrongClusterID: Perhaps the client is accessing GCS after it has restarted."
            )
        real(worker_pool)

    monkeypatch.setattr(RayWorkerPool, "_assign", assign)
    monkeypatch.setattr("scanner.web.queue.worker._TRY_AGAIN_S", 0.1)
    shutil.copytree(home, tmp_path / "home")
    (tmp_path / "home" / "uploads").mkdir()
    upload = tmp_path / "home" / "uploads" / "one.safetensors"
    shutil.copy(ADAPTERS / "qmv_mini_rank2.safetensors", upload)  # no other test had it scanned
    settings = settings_of(tmp_path / "home", cluster.address)
    worker = QueueWorker(settings)
    sha256 = str(triage_file(upload).sha256)
    order = JobRequest(
        "account", JobKind.UPLOAD, str(upload), "one.safetensors", sha256, upload.stat().st_size
    )
    job, _ = worker.jobs.submit(order)
    thread = threading.Thread(target=worker.run)
    thread.start()
    watching = Jobs(WebStore(settings.web_path), utc_now)
    deadline = time.monotonic() + 120
    while not watching.get(job.job_id).ended and time.monotonic() < deadline:
        time.sleep(0.2)
    worker.stop()
    thread.join()
    ended = watching.get(job.job_id)
    assert (str(ended.state), ended.attempts, ended.problem) == ("finished", 1, None)
    assert [row.outcome for row in ended.result] == ["match"]
    assert len(calls) > 1


def test_secrets_do_not_leave_the_driver(worker_pool: RayWorkerPool) -> None:
    settings = worker_pool._open_identifier.args[0]  # type: ignore[attr-defined]
    assert settings == settings_of_workers(settings)
    assert WRITTEN not in pickled(worker_pool._open_identifier)


def test_no_cluster_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:  # a port at which nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = run(
            "scan",
            str(ADAPTERS / "sepia_style.safetensors"),
            "--ray",
            address,
            "--face-pack",
            "miniature",
            home=tmp_path / "home",
        )
    assert told.returncode == 3
    assert "start one with `ray start --head`" in told.stderr
