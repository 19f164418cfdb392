"""Verdicts and cost on the miniature world: our scan beside the plain way of doing it.

The plain way: load each adapter, make the whole budget of samples and as many controls one by one,
and compare each image's face with every template, counting the best single image. Both sides are
measured in this one run; `python -m benchmarks.miniature` prints a table and a JSON line.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from face_index.face import FaceReader
from face_index.gallery import Gallery
from face_index.quality import QualityBar
from scanner.errors import NotScannable
from scanner.examination import Budget
from scanner.miniature.demo import demo_settings, register_world, run_demo
from scanner.miniature.world import WorldFile, load_world
from scanner.prompts import plan_rounds
from scanner.safety import usable_triggers
from scanner.sampling import Sampler
from scanner.settings import Settings
from scanner.triage import triage_file
from scanner.workshop import Workshop


class Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


@dataclass(frozen=True)
class Plain:
    """The plain way's answer for one file."""

    best_image_score: float | None
    seconds: float


def plain_way(
    sampler: Sampler, reader: FaceReader, bar: QualityBar, gallery: Gallery, file: WorldFile, budget: Budget
) -> Plain:
    started, best = time.monotonic(), None
    triage = triage_file(file.path)
    plans = [
        plan
        for plans in plan_rounds(
            str(triage.sha256), usable_triggers([*file.triggers, *triage.triggers]), budget.per_trigger, budget.rounds
        )
        for plan in plans
    ]
    try:
        with sampler.adapter(file.path, triage.kind):
            for plan in plans:
                sampler.generate([plan], with_adapter=False)
                [faces] = reader.read(sampler.generate([plan], with_adapter=True))
                for face in faces[:1]:
                    if bar.objection(face) is None:
                        score = gallery.search(face.embedding[None], 1)[0][0].score
                        best = score if best is None else max(best, score)
    except NotScannable:
        pass
    return Plain(best, time.monotonic() - started)


def print_table(files: Sequence[WorldFile], rows: dict[str, list[dict[str, object]]], plain: dict[str, Plain]) -> None:
    print(
        f"{'file':34} {'group':14} {'verdict':13} {'score':>6} {'lift':>6} {'s':>6} | plain: {'best image':>10} {'s':>6}"
    )
    for file in files:
        for row in rows[file.file]:
            numbers = [f"{row[name]:.2f}" if row[name] is not None else "" for name in ("score", "lift")]
            best = plain[file.file].best_image_score
            print(
                f"{file.file:34} {file.group:14} {row['outcome']!s:13} {numbers[0]:>6} {numbers[1]:>6} {row['seconds']:6.1f} |"
                f"        {'' if best is None else f'{best:.2f}':>10} {plain[file.file].seconds:6.1f}"
            )


def main() -> int:
    world = load_world()
    with tempfile.TemporaryDirectory() as folder:
        settings = demo_settings(Settings(home=Path(folder), device="cpu"))
        workshop = Workshop(settings)
        register_world(workshop, Silent())
        started = time.monotonic()
        result = run_demo(workshop, Silent())
        ours_s = time.monotonic() - started
        rows = {file.file: [row for row in result.rows if row["file"] == file.file] for file in world.files}
        sampler = workshop.sampler_for("Miniature")
        plain = {
            file.file: plain_way(sampler, workshop.reader, workshop.pack.bar, workshop.gallery, file, workshop.budget)
            for file in world.files
            if file.path.suffix == ".safetensors"
        }
        plain |= {file.file: Plain(None, 0.0) for file in world.files if file.file not in plain}
        print_table(world.files, rows, plain)
        plain_s = sum(one.seconds for one in plain.values())
        threshold = workshop.thresholds.match
        workshop.close()
    matched = {
        file.file: {row["identity"] for row in rows[file.file] if row["outcome"] == "match"} for file in world.files
    }
    right = sum(
        matched[file.file] == {world.name_of(seed) for seed in file.person_seeds}
        for file in world.files
        if file.group == "registered"
    )
    wrong = [file.file for file in world.files if file.group != "registered" and matched[file.file]]
    plain_wrong = [
        name
        for name, one in plain.items()
        if one.best_image_score
        and one.best_image_score >= threshold
        and name in {f.file for f in world.files if f.group != "registered"}
    ]
    print(
        json.dumps(
            {
                "registered adapters": sum(file.group == "registered" for file in world.files),
                "matched to exactly the right people": right,
                "others wrongly matched": wrong,
                "wrongly over threshold by the best single image": plain_wrong,
                "threshold": round(threshold, 3),
                "scan seconds": round(ours_s, 1),
                "plain seconds": round(plain_s, 1),
                "ratio": round(plain_s / ours_s, 2),
                "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
            }
        )
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
