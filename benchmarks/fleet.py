"""Throughput of two Ray workers compared with one, and verdicts when workers are killed.

A worker is killed in each of several runs; the verdicts must stay the same. Everything runs on a
local cluster of two nodes with one CPU each. Each node draws with one thread, and this process
reads all faces, on the same machine.

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
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from scanner.factories import open_scan_session
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.world import load_world
from scanner.sampling.prompt_safety import usable_triggers
from scanner.scanning.ray_workers import RayWorker
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.scanning.workers import Submission
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


def work_off(session: ScanSession, work: Work) -> tuple[dict[str, Any], float]:
    """Identify every checkpoint; return the verdicts by file and the seconds taken."""
    started = time.monotonic()
    pool, snapshot = session.worker_pool().client(), session.take_snapshot()
    for key, request in work:
        pool.submit(Submission(key, request, snapshot))
    found: dict[str, Any] = {}
    while pool.pending:
        for key, answer in pool.finished(wait=True):
            assert isinstance(answer, WorkerAnswer), answer
            assert key not in found, "reported twice"
            record = answer.verdict.to_json()
            found[key] = (
                record["outcome"],
                sorted(finding["identity_id"] for finding in record["findings"]),
                record["best_score"],
            )
    return found, time.monotonic() - started


def warm_up(session: ScanSession, size: int, work: Work) -> None:
    """Leave that many workers, each of which has loaded its base model and drawn once."""
    pool = session.worker_pool()
    pool.workers = pool.workers[:size]
    for _ in range(2):
        work_off(session, work[: 2 * size])


def killer(session: ScanSession, after_s: float) -> threading.Thread:
    """Start a thread that kills a busy worker after some seconds."""

    def kill() -> None:
        time.sleep(after_s)
        workers = session.worker_pool().workers
        busy = [one.pid for one in workers if isinstance(one, RayWorker) and one.busy and one.pid]
        if busy:
            os.kill(busy[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def main() -> None:
    home = Path(tempfile.mkdtemp())
    with open_scan_session(demo_settings(Settings(home=home, device="cpu"))) as session:
        register_world(session, Silent())
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
        with open_scan_session(settings) as session:
            warm_up(session, size, work)
            for _ in range(ROUNDS):
                found, taken = work_off(session, work)
                expected = expected or found
                assert found == expected
                seconds[size].append(taken)
    one_s, two_s = (statistics.median(seconds[size]) for size in (1, 2))
    print(
        f"{len(work)} checkpoints: one worker {one_s:.1f} s, two workers {two_s:.1f} s, "
        f"ratio {one_s / two_s:.2f}"
    )
    same = 0
    with open_scan_session(settings) as session:
        warm_up(session, 2, work)
        for turn in range(KILLS):
            thread = killer(session, 0.5 + 0.5 * turn)
            found, _ = work_off(session, work)
            thread.join()
            same += found == expected
        lost = session.worker_pool().lost_workers
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
