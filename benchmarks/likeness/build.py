"""Build LikenessBench in .bench/: `python -m benchmarks.likeness.build [development|held-out]`.

Missing files are trained, then the altered and merged files are derived. After an interruption the
same command continues.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.likeness.changes import derive, read_metadata
from benchmarks.likeness.inventory import Inventory, Split, Trained, inventory
from benchmarks.training_pool import train_in_processes, workers
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


def subject_of(trained: Trained) -> Subject:
    if trained.person is not None:
        return person_subject(trained.person, trained.trigger)
    draw = styled_photo if trained.part == "style" else object_photo
    images = np.stack([draw(trained.subject, photo) for photo in range(PHOTOS)])
    return Subject(trained.trigger, trained.part, images)


def train_one(task: tuple[Trained, Path]) -> tuple[str, float]:
    trained, path = task
    torch.set_num_threads(1)
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    started = time.monotonic()
    subject = subject_of(trained)
    tensors = train_form(BASE_MODEL, trained.form, [subject], trained.steps, trained.seed)
    metadata = training_metadata([subject], trained.form.rank, trained.seed, trained.name)
    metadata["ss_network_module"] = (
        "networks.lora" if trained.form.algorithm in ("lora", "dora") else "lycoris.kohya"
    )
    partial = path.with_suffix(".part")
    save_adapter(partial, tensors, metadata)
    partial.replace(path)
    return trained.name, time.monotonic() - started


def build(split: Split) -> Path:
    """Build all files of a split; return their folder."""
    whole, folder = inventory(split), folder_of(split)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    missing = [
        (trained, path)
        for trained in whole.trained
        if not (path := folder / f"{trained.name}.safetensors").exists()
    ]
    seconds = dict(train_in_processes(train_one, missing, f"training {split}"))
    derive_all(whole, folder)
    if missing:
        record = {
            "files": len(missing),
            "wall_s": round(time.monotonic() - started, 1),
            "workers": workers(),
            "seconds": seconds,
        }
        (folder / f"built_{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(
            json.dumps(record, indent=1)
        )
        print(f"{len(missing)} files in {record['wall_s']} s with {workers()} workers")
    return folder


def derive_all(whole: Inventory, folder: Path) -> None:
    for derived in whole.derived:
        path = folder / f"{derived.name}.safetensors"
        if not path.exists():
            sources = [folder / f"{name}.safetensors" for name in derived.of]
            tensors, metadata = derive(
                derived, [load_file(source) for source in sources], read_metadata(sources[0])
            )
            save_adapter(path, tensors, metadata, half=False)


if __name__ == "__main__":
    print(build(sys.argv[1] if len(sys.argv) > 1 else "held-out"))  # type: ignore[arg-type]
