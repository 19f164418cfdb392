"""Ray workers: throughput of two beside one, and verdicts with a worker killed in every run: `python -m benchmarks.fleet`.

Everything runs on this machine: a local cluster of two nodes with one CPU each, one thread a worker.
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

from scanner.factories import open_identifier, settings_of_workers
from scanner.identification.policy import Policy
from scanner.miniature.demo import demo_settings, register_world
from scanner.miniature.world import load_world
from scanner.sampling.prompt_safety import usable_triggers
from scanner.scanning.identifier import SamplingRequest, WorkerAnswer
from scanner.scanning.ray_workers import RayWorkerPool
from scanner.settings import Settings
from scanner.triage.header import triage_file
from tests.opening import open_session

KILLS, ROUNDS = 10, 3


class Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def tasks() -> list[tuple[str, SamplingRequest]]:
    found = []
    for file in load_world().files:
        if file.group in ("registered", "stranger", "style", "object"):
            triage = triage_file(file.path)
            triggers = usable_triggers([*file.triggers, *triage.triggers])
            found.append(
                (
                    file.file,
                    SamplingRequest(
                        file.path, str(triage.sha256), triage.kind, triage.family, triggers
                    ),
                )
            )
    return found


def work_off(
    worker_pool: RayWorkerPool, work: list[tuple[str, SamplingRequest]]
) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    for key, task in work:
        worker_pool.submit(key, task)
    found: dict[str, Any] = {}
    while worker_pool.pending:
        for key, judgement in worker_pool.finished(wait=True):
            assert isinstance(judgement, WorkerAnswer), judgement
            assert key not in found, "reported twice"
            record = judgement.verdict.to_json()
            found[key] = (
                record["outcome"],
                sorted(one["identity_id"] for one in record["findings"]),
                record["best_score"],
            )
    return found, time.monotonic() - started


def warmed(worker_pool: RayWorkerPool, work: list[tuple[str, SamplingRequest]]) -> RayWorkerPool:
    """Every worker has loaded its base model and drawn once."""
    for _ in range(2):
        work_off(worker_pool, work[: 2 * len(worker_pool._slots)])
    return worker_pool


def killer(worker_pool: RayWorkerPool, after_s: float) -> threading.Thread:
    def kill() -> None:
        time.sleep(after_s)
        busy = [slot.pid for slot in worker_pool._slots if slot.task is not None and slot.pid]
        if busy:
            os.kill(busy[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def main() -> None:
    home = Path(tempfile.mkdtemp())
    scan_session = open_session(demo_settings(Settings(home=home, device="cpu")))
    register_world(scan_session, Silent())
    snapshot = scan_session.take_snapshot()
    scan_session.close()
    work = tasks()
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    settings = Settings(home=home, face_pack="miniature", device="cpu", ray=cluster.address)

    def worker_pool_of(size: int) -> RayWorkerPool:
        worker_pool = RayWorkerPool(
            str(settings.ray),
            partial(open_identifier, settings_of_workers(settings), Policy()),
            snapshot,
        )
        for slot in worker_pool._slots[size:]:
            ray.kill(slot.worker, no_restart=True)
        del worker_pool._slots[size:]
        return warmed(worker_pool, work)

    seconds: dict[int, list[float]] = {1: [], 2: []}
    expected: dict[str, Any] = {}
    worker_pools = {1: worker_pool_of(1)}
    for size in (1, 2):
        worker_pool = worker_pools[1] if size == 1 else worker_pool_of(2)
        for _ in range(ROUNDS):
            found, taken = work_off(worker_pool, work)
            expected = expected or found
            assert found == expected
            seconds[size].append(taken)
        worker_pool.close()
        time.sleep(2)
    one, two = (statistics.median(seconds[size]) for size in (1, 2))
    print(
        f"{len(work)} checkpoints: one worker {one:.1f} s, two workers {two:.1f} s, ratio {one / two:.2f}"
    )
    worker_pool, same, lost = worker_pool_of(2), 0, 0
    for turn in range(KILLS):
        thread = killer(worker_pool, 0.5 + 0.5 * turn)
        found, _ = work_off(worker_pool, work)
        thread.join()
        same += found == expected
    lost = worker_pool.lost_workers
    worker_pool.close()
    print(
        f"{KILLS} runs with a worker killed: {same} with identical verdicts and scores; {lost} workers were lost at work"
    )
    print(
        json.dumps(
            {
                "one_s": seconds[1],
                "two_s": seconds[2],
                "ratio": one / two,
                "identical": same,
                "lost": lost,
            }
        )
    )
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
