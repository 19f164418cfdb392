"""Train files in several processes.

Two trainings with one thread each finish sooner than one training with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch
from rich.progress import track

Task = TypeVar("Task")


def workers() -> int:
    """Return the number of processes: BENCH_WORKERS, 10 on a GPU, or one for each core."""
    usual = 10 if torch.cuda.is_available() else os.cpu_count() or 1
    return int(os.environ.get("BENCH_WORKERS", str(usual)))


def train_in_processes(
    train_one: Callable[[Task], tuple[str, float]], tasks: Sequence[Task], title: str
) -> Iterator[tuple[str, float]]:
    """Train every task and yield its name and seconds, in order.

    Args:
        train_one: a function of a module, with one task as argument.
        title: is shown beside the progress bar.
    """
    with ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn")) as pool:
        for name, took in track(pool.map(train_one, tasks), title, len(tasks)):
            print(f"{name}: {took:.0f} s", flush=True)
            yield name, took
