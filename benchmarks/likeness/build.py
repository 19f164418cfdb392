"""Builds LikenessBench: `python -m benchmarks.likeness.build [development|held-out]`; kept in .bench/, outside git.

Trains what is not there yet, one file a process, a thread each (two trainings of one thread finish sooner than
one of two), then derives the altered and merged ones. Killed, the same command goes on.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file

from benchmarks.likeness.changes import derive, read_metadata
from benchmarks.likeness.inventory import Inventory, Split, Trained, inventory
from scanner.miniature.objects import object_photo, styled_photo
from scanner.miniature.training.adapter import (
    PHOTOS,
    Subject,
    person_subject,
    save_adapter,
    training_metadata,
)
from scanner.miniature.training.formats import train_form
from scanner.miniature.world import BASE_MODEL

FOLDER = Path(".bench/likeness")


def folder_of(split: Split) -> Path:
    return FOLDER / split


def subject_of(one: Trained) -> Subject:
    if one.person is not None:
        return person_subject(one.person, one.trigger)
    draw = styled_photo if one.part == "style" else object_photo
    images = np.stack([draw(one.subject, photo) for photo in range(PHOTOS)])
    return Subject(one.trigger, one.part, images)


def train_one(task: tuple[Trained, Path]) -> tuple[str, float]:
    one, path = task
    torch.set_num_threads(1)
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    started = time.monotonic()
    subject = subject_of(one)
    tensors = train_form(BASE_MODEL, one.form, [subject], one.steps, one.seed)
    metadata = training_metadata([subject], one.form.rank, one.seed, one.name)
    metadata["ss_network_module"] = (
        "networks.lora" if one.form.algorithm in ("lora", "dora") else "lycoris.kohya"
    )
    partial = path.with_suffix(".part")
    save_adapter(partial, tensors, metadata)
    partial.replace(path)
    return one.name, time.monotonic() - started


def build(split: Split) -> Path:
    """Everything of a split, on disk."""
    whole, folder = inventory(split), folder_of(split)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    missing = [
        (one, path)
        for one in whole.trained
        if not (path := folder / f"{one.name}.safetensors").exists()
    ]
    workers = int(
        os.environ.get(
            "BENCH_WORKERS", "10" if torch.cuda.is_available() else str(os.cpu_count() or 1)
        )
    )
    seconds: dict[str, float] = {}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for name, took in track(pool.map(train_one, missing), f"training {split}", len(missing)):
            seconds[name] = took
            print(f"{name}: {took:.0f} s", flush=True)
    derive_all(whole, folder)
    if missing:
        record = {
            "files": len(missing),
            "wall_s": round(time.monotonic() - started, 1),
            "workers": workers,
            "seconds": seconds,
        }
        (folder / f"built_{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(
            json.dumps(record, indent=1)
        )
        print(f"{len(missing)} files in {record['wall_s']} s with {workers} workers")
    return folder


def derive_all(whole: Inventory, folder: Path) -> None:
    for one in whole.derived:
        path = folder / f"{one.name}.safetensors"
        if not path.exists():
            sources = [folder / f"{name}.safetensors" for name in one.of]
            tensors, metadata = derive(
                one, [load_file(source) for source in sources], read_metadata(sources[0])
            )
            save_adapter(path, tensors, metadata, half=False)


if __name__ == "__main__":
    print(build(sys.argv[1] if len(sys.argv) > 1 else "held-out"))  # type: ignore[arg-type]
