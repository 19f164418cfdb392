"""Trainings of one person: which are saves of one training, and which are independent.

`python -m benchmarks.fingerprints.trainings [--development]`. For some algorithms four files are
trained on a person: the first, with saves on the way; one with other photos and the same seed; one
of another person with the same seed; one with another seed. Only the saves may be related to the
first. The exact cosine of the whole changes stands beside that of the sketches.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.likeness.inventory import FORMS, WEAK_FORMS, trigger_of
from crawlers.checkpoints.header import FileSource, read_header
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.formats.registry import WEIGHT_CHANGES
from scanner.fingerprints.fingerprint import TensorReader, fingerprint_of
from scanner.fingerprints.fingerprint_store import KnownFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.relatives import ListSearch, relatives_of
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.training import formats
from scanner.miniature.training.adapter import PHOTOS, Subject, save_adapter, training_metadata
from scanner.miniature.world import BASE_MODEL

FOLDER = Path(".bench/trainings")
_FIRST_SEED = {"development": 20_000, "held-out": 30_000}
_ALGORITHMS = (0, 1, 2, 8, 12, 14, 16, 17, 18, 21, 22)
_STEPS, _SAVES = 300, (50, 100, 150, 225, 270)
_OTHER_PHOTOS = 5_000


def subject(person: int, trigger: str, first: int = 1_000) -> Subject:
    photos = [draw_photo(person_of(person), first + number).pixels for number in range(PHOTOS)]
    return Subject(trigger, "person", np.stack(photos))


def train(path: Path, form: Any, shown: Subject, seed: int, saves: tuple[int, ...] = ()) -> None:
    """Train a file, with saves after some steps where the form is a LoRA of PEFT."""
    if path.exists():
        return
    taken: dict[int, Any] = {}
    fit, step, count = formats.fit, torch.optim.AdamW.step, [0]

    def fit_with_saves(pipeline: Any, *arguments: Any, **more: Any) -> None:
        def counted(optimiser: Any, *rest: Any, **named: Any) -> Any:
            answer = step(optimiser, *rest, **named)
            count[0] += 1
            if count[0] in saves and form.algorithm == "lora":
                tensors = formats.peft_tensors(pipeline.unet)
                taken[count[0]] = formats.renamed(tensors, form.naming)
            return answer

        torch.optim.AdamW.step = counted  # type: ignore[method-assign]
        try:
            fit(pipeline, *arguments, **more)
        finally:
            torch.optim.AdamW.step = step  # type: ignore[method-assign]

    formats.fit = fit_with_saves  # type: ignore[assignment]
    try:
        tensors = formats.train_form(BASE_MODEL, form, [shown], _STEPS, seed)
    finally:
        formats.fit = fit
    for number, saved in taken.items():
        own = path.with_name(f"{path.stem}_at{number}.safetensors")
        save_adapter(own, saved, training_metadata([shown], form.rank, seed, path.stem))
    save_adapter(path, tensors, training_metadata([shown], form.rank, seed, path.stem))


def train_all(folder: Path, first: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    every = FORMS + WEAK_FORMS
    for number in _ALGORITHMS:
        form, person = every[number], first + number
        trigger, seed = trigger_of(person), person
        own = subject(person, trigger)
        runs = (
            ("base", own, seed, _SAVES),
            ("otherphotos", subject(person, trigger, _OTHER_PHOTOS), seed, ()),
            ("otherperson", subject(person + 500, trigger), seed, ()),
            ("otherseed", own, seed + 777, ()),
        )
        for name, shown, own_seed, saves in runs:
            train(folder / f"f{number}_{name}.safetensors", form, shown, own_seed, saves)
            print(f"trained f{number}_{name} ({form.algorithm})", flush=True)


class _Whole:
    """Signs that leave a change as it is."""

    def rows(self, count: int) -> Any:
        return np.eye(count)

    def columns(self, count: int) -> Any:
        return np.eye(count)


def whole_change(path: Path) -> dict[str, Any]:
    header = read_header(FileSource(path))
    reader = TensorReader(FileSource(path), header)
    changes: dict[str, Any] = {}
    for stem, parts in parts_of_file(header.tensors).modules.items():
        change = next((one for one in WEIGHT_CHANGES if one.mark in parts), None)
        if change is not None:
            own = {part: reader.read(name) for part, name in parts.items()}
            changes[stem] = change.project(own, _Whole())
    return changes


def exact_cosine(one: dict[str, Any], other: dict[str, Any]) -> float:
    def length(changes: dict[str, Any]) -> float:
        return float(np.sqrt(sum((change**2).sum() for change in changes.values())))

    inner = sum(float((one[stem] * other[stem]).sum()) for stem in one if stem in other)
    return inner / length(one) / length(other)


def report(folder: Path) -> int:
    wrong = 0
    print(f"{'algorithm':22} {'file':14} {'cosine':>7} {'exact':>7}  relation to the first")
    for base_path in sorted(folder.glob("*_base.safetensors")):
        prefix = base_path.stem.removesuffix("_base")
        form = (FORMS + WEAK_FORMS)[int(prefix[1:])]
        label = f"{form.algorithm}, rank {form.rank}"
        base = KnownFile("base", None, base_path.name, fingerprint_of(base_path))
        whole = whole_change(base_path)
        for path in sorted(folder.glob(f"{prefix}_*.safetensors")):
            if path == base_path:
                continue
            known = KnownFile(path.stem, None, path.name, fingerprint_of(path))
            found = relatives_of(known, ListSearch([base]))
            cosine = float(
                known.fingerprint.sketches[Network.DENOISER].direction()
                @ base.fingerprint.sketches[Network.DENOISER].direction()
            )
            relation = str(found[0].relation) if found else "–"
            may = "_at" in path.stem
            wrong += bool(found) != may
            name = path.stem.removeprefix(f"{prefix}_")
            mark = "" if bool(found) == may else "  WRONG"
            print(
                f"{label:22} {name:14} {cosine:7.3f} "
                f"{exact_cosine(whole, whole_change(path)):7.3f}  {relation}{mark}"
            )
    print(f"{wrong} wrong")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--development", action="store_true")
    split = "development" if parser.parse_args().development else "held-out"
    torch.set_num_threads(1)
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    folder = FOLDER / split
    train_all(folder, _FIRST_SEED[split])
    return 1 if report(folder) else 0


if __name__ == "__main__":
    raise SystemExit(main())
