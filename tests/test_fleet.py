"""A scan on a local Ray cluster of two nodes has the same verdicts, even after a worker is lost.

The nodes draw; faces are read and searched in this process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from crawlers.hubs import storage
from scanner.clock import utc_now
from scanner.identification.policy import Policy
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.world import ADAPTERS, load_world
from scanner.sampling.prompt_safety import usable_triggers
from scanner.scanning.ray_workers import RayWorker
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.scan import run_scan
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.scanning.workers import PoolClient, Submission, WorkerPool
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.worker import QueueWorker
from scanner.web.store import WebStore
from tests.conftest import Silent
from tests.opening import open_identifier, open_session
from tests.registering import register_somebody
from tests.servers.object_storage import object_storage, open_bucket
from tests.test_cli import run
from tests.test_secrets_of_workers import WRITTEN, full_of_secrets

pytestmark = pytest.mark.slow
FILES = ["ohwx_portrait_v1", "zkw_likeness", "dvx_actor", "sepia_style", "teapot_object"]
FAMILIES = {file.file: file for file in load_world().files}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A bucket `staging`; environment variables lead there, on the nodes too."""
    with object_storage() as url, open_bucket(url, "staging"):
        yield url


@pytest.fixture(scope="module")
def cluster(s3_url: str) -> Iterator[Any]:
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
        installation=str(Settings().samples.installation_id),
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


def work_off(scan_session: ScanSession, names: list[str] = FILES) -> dict[str, tuple[Any, ...]]:
    pool, snapshot = scan_session.worker_pool().client(), scan_session.take_snapshot()
    for name in names:
        pool.submit(Submission(name, task_of(name), snapshot))
    found: dict[str, tuple[Any, ...]] = {}
    while pool.pending:
        for key, judgement in pool.finished(wait=True):
            assert isinstance(judgement, WorkerAnswer), judgement
            assert key not in found, "no checkpoint is reported twice"
            found[key] = told(judgement)
    return found


def workers_of(pool: WorkerPool) -> list[RayWorker]:
    return [worker for worker in pool.workers if isinstance(worker, RayWorker)]


@pytest.fixture
def scan_session(cluster: Any, home: Path) -> Iterator[ScanSession]:
    with open_session(settings_of(home, cluster.address)) as opened:
        yield opened


def killed_once_at_work(pool: WorkerPool) -> threading.Thread:
    """Start a thread that kills a worker as soon as it has a request."""

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            busy = [worker.pid for worker in workers_of(pool) if worker.busy and worker.pid]
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
    assert len(workers_of(scan_session.worker_pool())) == 2
    samples = {
        name: len(
            scan_session.scan_store.samples(str(triage_file(folder / f"{name}.safetensors").sha256))
        )
        for name in FILES
    }
    rows = {row["file"].removesuffix(".safetensors"): row for row in result.to_json_rows()}
    scan_session.close()
    assert {name: row["outcome"] for name, row in rows.items()} == {
        name: one[0] for name, one in expected.items()
    }
    assert (
        {name: row["samples"] for name, row in rows.items()}
        == {name: one[3] for name, one in expected.items()}
        == samples
    )


def test_a_killed_worker_costs_nothing_but_time(
    scan_session: ScanSession, expected: dict[str, Any]
) -> None:
    killer = killed_once_at_work(scan_session.worker_pool())
    assert work_off(scan_session) == expected
    killer.join()
    assert scan_session.worker_pool().lost_workers == 1


def test_a_lost_node_costs_nothing_but_time(
    cluster: Any, home: Path, expected: dict[str, Any]
) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    with open_session(settings_of(home, cluster.address)) as scan_session:
        assert len(workers_of(scan_session.worker_pool())) == 3
        loss = threading.Timer(6.0, cluster.remove_node, (node,))
        loss.start()
        assert work_off(scan_session) == expected
        loss.join()
        # The cluster has no room for the third worker any more; the two others go on.
        assert work_off(scan_session) == expected


def test_whoever_registers_while_a_cluster_draws_is_searched_for_in_what_it_draws(
    cluster: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is drawn twice for it, and the next scan needs no cluster."""
    unscanned = shutil.ignore_patterns("scans.db*", "samples")
    shutil.copytree(home, tmp_path / "home", ignore=unscanned)
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("sepia_style", "teapot_object"):
        shutil.copy(ADAPTERS / f"{name}.safetensors", folder)
    scan_session = open_session(settings_of(tmp_path / "home", cluster.address))
    before = scan_session.take_snapshot().gallery_version
    submitted: list[str] = []
    submit = PoolClient.submit

    def registering(client: PoolClient, submission: Submission) -> None:
        submit(client, submission)
        submitted.append(submission.key)
        if len(submitted) == 1:
            register_somebody(scan_session)

    monkeypatch.setattr(PoolClient, "submit", registering)
    rows = list(run_scan(scan_session, [str(folder)], Silent()).to_json_rows())
    after = scan_session.take_snapshot()
    scan_session.close()
    assert after.gallery_version == before + 1
    assert [row["searched_through"] for row in rows] == [before + 1] * 2
    assert len(submitted) == 2
    away = open_session(settings_of(tmp_path / "home", "nowhere.invalid:6379"))
    assert [
        row["searched_through"] for row in run_scan(away, [str(folder)], Silent()).to_json_rows()
    ] == [after.gallery_version] * 2
    away.close()


def test_a_file_that_kills_every_worker_is_told_and_does_not_stop_the_rest(
    scan_session: ScanSession,
) -> None:
    pool, over = scan_session.worker_pool(), threading.Event()

    def strike() -> None:
        while not over.wait(0.05):
            for worker in workers_of(pool):
                if worker.busy and worker.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=strike)
    thread.start()
    task = task_of("ohwx_portrait_v1")
    client = pool.client()
    client.submit(Submission("deadly", task, scan_session.take_snapshot()))
    [(key, error)] = client.finished(wait=True)
    over.set()
    thread.join()
    assert key == "deadly"
    assert "workers died one after another" in str(error)
    assert work_off(scan_session, ["sepia_style"])["sepia_style"][0] == "clear"


def test_checkpoints_travel_through_object_storage(
    cluster: Any, home: Path, s3_url: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    """A node gets the name of an object and no path; nothing is left of it anywhere."""
    settings = settings_of(home, cluster.address)
    settings = settings.model_copy(
        update={"ray_staging": "s3://staging/files", "cache": tmp_path / "cache"}
    )
    with open_session(settings) as scan_session:
        assert work_off(scan_session) == expected
        gone = Submission("gone", task_of("sepia_style"), scan_session.take_snapshot())
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(storage, "put_object", lambda *_: None)
            patched.setattr("scanner.sampling.staging.put_object", lambda *_: None)
            client = scan_session.worker_pool().client()
            client.submit(gone)
            [(_, error)] = client.finished(wait=True)
        assert "could not be sent through s3://staging/files" in str(error)
    left = boto3.client("s3", endpoint_url=s3_url).list_objects_v2(Bucket="staging")
    assert left["KeyCount"] == 0
    assert list((tmp_path / "cache" / "staged").iterdir()) == []


def test_no_template_and_no_secret_leaves_this_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that leaves this process is read, for a file that shows who is registered."""
    sent: list[bytes] = []
    for kind in (ray.actor.ActorMethod, ray.actor.ActorClass):
        monkeypatch.setattr(kind, "_remote", spied(kind._remote, sent))
    change = {
        "face_pack": "miniature",
        "device": "cpu",
        "base_model": None,
        "master_key": None,
        "next_master_key": None,
        "ray": cluster.address,
        "ray_staging": "s3://staging/files",
    }
    settings = full_of_secrets(tmp_path).model_copy(update=change)
    with open_session(settings) as scan_session:
        register_world(scan_session, Silent())
        [row] = run_scan(
            scan_session, [str(ADAPTERS / "ohwx_portrait_v1.safetensors")], Silent()
        ).to_json_rows()
        snapshot = scan_session.take_snapshot()
    assert row["outcome"] == "match"
    assert len(sent) > 5
    vectors = [vector for _, prototypes in snapshot.templates for vector in prototypes]
    needles = [
        WRITTEN,
        settings.key_path.read_bytes(),
        *(vector.tobytes()[start : start + 16] for vector in vectors for start in (0, 256)),
        *(identity_id.encode() for identity_id, _ in snapshot.templates),
    ]
    assert len(needles) > 20
    assert [needle for needle in needles if any(needle in call for call in sent)] == []


def spied(remote: Any, sent: list[bytes]) -> Any:
    def spying(*args: Any, **more: Any) -> Any:
        sent.append(bytes(cloudpickle.dumps((args[1:], more))))
        return remote(*args, **more)

    return spying


def test_the_worker_behind_the_pages_waits_for_a_cluster_that_is_gone(
    cluster: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the head node was restarted during a scan.

    The requests under way are queued again, and the next worker pool reconnects.
    """
    calls: list[str] = []
    real = ray.wait

    def wait(*args: Any, **more: Any) -> Any:
        calls.append("")
        if len(calls) == 3:
            raise ray.exceptions.RpcError(
                "WrongClusterID: Perhaps the client is accessing GCS after it has restarted."
            )
        return real(*args, **more)

    monkeypatch.setattr(ray, "wait", wait)
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
    assert len(calls) > 3


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
