"""Throughput of two Ray workers compared with one, and verdicts when workers are killed.

A worker is killed in each of several runs; the verdicts must stay the same. Everything runs on a
local cluster of two nodes with one CPU each, and each worker has one thread.

Run: python -m benchmarks.fleet
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from scanner.factories import open_identifier, open_scan_session, settings_of_workers
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.world import load_world
from scanner.sampling.prompt_safety import usable_triggers
from scanner.scanning.identifier import SamplingRequest, WorkerAnswer
from scanner.scanning.ray_workers import RayWorkerPool
from scanner.settings import Settings
from scanner.triage.header import triage_file

Work = list[tuple[str, SamplingRequest]]

KILLS, ROUNDS = 10, 3


class Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def requests_of_the_world() -> Work:
    """Return the files of the miniature world that reach sampling, with their requests."""
    found: Work = []
    for file in load_world().files:
        if file.group in ("registered", "stranger", "style", "object"):
            triage = triage_file(file.path)
            triggers = usable_triggers([*file.triggers, *triage.triggers])
            request = SamplingRequest(
                file.path, str(triage.sha256), triage.kind, triage.family, triggers
            )
            found.append((file.file, request))
    return found


def work_off(
    worker_pool: RayWorkerPool, work: Work, snapshot: GallerySnapshot
) -> tuple[dict[str, Any], float]:
    """Identify every checkpoint; return the verdicts by file and the seconds taken."""
    started = time.monotonic()
    for key, request in work:
        worker_pool.submit(key, request, snapshot)
    found: dict[str, Any] = {}
    while worker_pool.pending:
        for key, answer in worker_pool.finished(wait=True):
            assert isinstance(answer, WorkerAnswer), answer
            assert key not in found, "reported twice"
            record = answer.verdict.to_json()
            found[key] = (
                record["outcome"],
                sorted(finding["identity_id"] for finding in record["findings"]),
                record["best_score"],
            )
    return found, time.monotonic() - started


def open_pool(
    settings: Settings, size: int, work: Work, snapshot: GallerySnapshot
) -> RayWorkerPool:
    """Open a pool of that many workers, each of which has loaded its base model and drawn once."""
    open_worker = partial(open_identifier, settings_of_workers(settings), Policy())
    worker_pool = RayWorkerPool(str(settings.ray), open_worker, snapshot)
    for slot in worker_pool._slots[size:]:
        ray.kill(slot.worker, no_restart=True)
    del worker_pool._slots[size:]
    for _ in range(2):
        work_off(worker_pool, work[: 2 * size], snapshot)
    return worker_pool


def killer(worker_pool: RayWorkerPool, after_s: float) -> threading.Thread:
    """Start a thread that kills a busy worker after some seconds."""

    def kill() -> None:
        time.sleep(after_s)
        busy = [slot.pid for slot in worker_pool._slots if slot.request is not None and slot.pid]
        if busy:
            os.kill(busy[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def main() -> None:
    home = Path(tempfile.mkdtemp())
    scan_session = open_scan_session(demo_settings(Settings(home=home, device="cpu")))
    register_world(scan_session, Silent())
    snapshot = scan_session.take_snapshot()
    scan_session.close()
    work = requests_of_the_world()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    settings = Settings(home=home, face_pack="miniature", device="cpu", ray=cluster.address)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    expected: dict[str, Any] = {}
    for size in (1, 2):
        worker_pool = open_pool(settings, size, work, snapshot)
        for _ in range(ROUNDS):
            found, taken = work_off(worker_pool, work, snapshot)
            expected = expected or found
            assert found == expected
            seconds[size].append(taken)
        worker_pool.close()
        time.sleep(2)
    one_s, two_s = (statistics.median(seconds[size]) for size in (1, 2))
    print(
        f"{len(work)} checkpoints: one worker {one_s:.1f} s, two workers {two_s:.1f} s, "
        f"ratio {one_s / two_s:.2f}"
    )
    worker_pool, same = open_pool(settings, 2, work, snapshot), 0
    for turn in range(KILLS):
        thread = killer(worker_pool, 0.5 + 0.5 * turn)
        found, _ = work_off(worker_pool, work, snapshot)
        thread.join()
        same += found == expected
    lost = worker_pool.lost_workers
    worker_pool.close()
    print(
        f"{KILLS} runs with a worker killed: {same} with identical verdicts and scores; "
        f"{lost} workers were lost at work"
    )
    figures = {
        "one_s": seconds[1],
        "two_s": seconds[2],
        "ratio": one_s / two_s,
        "identical": same,
        "lost": lost,
    }
    print(json.dumps(figures))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
