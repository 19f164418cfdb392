"""Build LikenessBench-Evade: `python -m benchmarks.evasion.build [development|held-out]`.

Sources are trained, each in a process with one thread, and evasions are made from them and from
LikenessBench, which must be there. After an interruption the same command continues.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.evasion.inventory import sources
from benchmarks.evasion.sources import Source, train
from benchmarks.likeness.inventory import Split
from benchmarks.training_pool import train_in_processes

FOLDER = Path(".bench/evasion")


def folder_of(split: Split) -> Path:
    """The folder of a split's files."""
    return FOLDER / split


def train_one(task: tuple[Source, Path]) -> tuple[str, float]:
    """Train one source and write it; return its name and the seconds that it took."""
    source, path = task
    torch.set_num_threads(1)
    started = time.monotonic()
    tensors = {name: tensor.contiguous() for name, tensor in train(source).items()}
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)
    return source.name, time.monotonic() - started


def train_all(split: Split) -> None:
    """Train the sources that are missing."""
    folder = folder_of(split) / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [(one, folder / f"{one.name}.safetensors") for one in sources(split)]
    missing = [(one, path) for one, path in paths if not path.exists()]
    for _ in train_in_processes(train_one, missing, f"training {split}"):
        pass


if __name__ == "__main__":
    train_all(sys.argv[1] if len(sys.argv) > 1 else "held-out")  # type: ignore[arg-type]
