"""LikenessBench: our verdicts and their cost beside the plain way, in one run: `python -m benchmarks.likeness.run`.

The plain way is what one writes first: load_lora_weights, sixteen images at thirty steps one at a time, sixteen controls
the same, the best single image's cosine against the gallery. It is only asked for the files that it can load, and only
for every sixth file unless --plain says otherwise, because it takes forty times as long.

Whatever was tuned was tuned on the `development` split; the figures are those of `held-out`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks.likeness.build import derive_all, folder_of
from benchmarks.likeness.detection_error import draw_det
from benchmarks.likeness.gallery import templates_of
from benchmarks.likeness.inventory import Inventory, inventory
from benchmarks.likeness.plain_way import IMAGES, STEPS, Plain, plain_way
from face_index.faces.face import Prototypes
from scanner.factories import open_examiner
from scanner.identification.policy import Policy
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.trigger_search import candidate_words
from scanner.scanning.examiner import CheckpointExaminer, SamplingRequest
from scanner.settings import Settings
from scanner.triage.header import triage_file

GALLERIES = (1_000, 10_000)


@dataclass(frozen=True)
class Row:
    """What came of one file."""

    name: str
    part: str
    form: str
    persons: tuple[int, ...]
    outcome: str
    matched: tuple[int, ...]
    possible: tuple[int, ...]
    best_score: float | None
    lowest_threshold: float
    samples: int
    calls: int
    seconds: float
    reason: str


def task_of(path: Path) -> SamplingRequest:
    triage = triage_file(path)
    triggers = usable_triggers(triage.triggers)
    candidates = () if triggers else candidate_words([path.stem])
    problem = "; ".join(triage.problems) if not triage.readable else None
    return SamplingRequest(
        path, triage.sha256 or "", triage.kind, triage.family, triggers, candidates, problem=problem
    )


def judge_all(
    examiner: CheckpointExaminer, whole: Inventory, folder: Path, title: str, only: set[str] | None
) -> list[Row]:
    files = [
        (
            one.name,
            one.part,
            f"{one.form.algorithm} {one.form.naming} {one.form.rank}",
            () if one.person is None or one.part == "stranger" else (one.person,),
        )
        for one in whole.trained
    ]
    files += [(one.name, one.part, one.change, one.persons) for one in whole.derived]
    rows = []
    for name, part, form, persons in track(
        [file for file in files if only is None or file[0] in only], title
    ):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            print(f"missing: {name}")
            continue
        started = time.monotonic()
        record = examiner.examine(task_of(path)).verdict.to_json()
        seconds = time.monotonic() - started
        found = {
            outcome: tuple(
                int(one["identity_id"]) for one in record["findings"] if one["outcome"] == outcome
            )
            for outcome in ("match", "possible")
        }
        rows.append(
            Row(
                name,
                part,
                form,
                persons,
                record["outcome"],
                found["match"],
                found["possible"],
                record["best_score"],
                examiner.snapshot.thresholds.match,
                record["samples"],
                record["denoiser_calls"],
                seconds,
                record["reason"],
            )
        )
    return rows


def summary(rows: list[Row]) -> dict[str, Any]:
    """Recall and false matches by part; a merge counts once for each of its people."""
    told: dict[str, Any] = {}
    by_part: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_part[row.part if row.part != "altered" else f"altered: {row.form}"].append(row)
    for part, some in sorted(by_part.items()):
        wanted = [(row, person) for row in some for person in row.persons]
        hit = sum(person in row.matched for row, person in wanted)
        near = sum(person in row.possible for row, person in wanted)
        told[part] = {
            "files": len(some),
            "persons": len(wanted),
            "matched": hit,
            "possible": near,
            "false matches": sum(len(set(row.matched) - set(row.persons)) for row in some),
            "false possibles": sum(len(set(row.possible) - set(row.persons)) for row in some),
            "outcomes": {
                outcome: sum(row.outcome == outcome for row in some)
                for outcome in sorted({row.outcome for row in some})
            },
            "calls": round(float(np.mean([row.calls for row in some])), 1),
            "samples": round(float(np.mean([row.samples for row in some])), 1),
            "seconds": round(float(np.mean([row.seconds for row in some])), 2),
        }
    return told


def print_table(size: int, told: dict[str, Any]) -> None:
    print(f"\ngallery of {size:,}")
    print(
        f"{'part':24} {'files':>5} {'persons':>7} {'matched':>7} {'possible':>8} {'false':>5} {'f.poss.':>7} {'samples':>7} {'calls':>6} {'s':>6}"
    )
    for part, one in told.items():
        print(
            f"{part:24} {one['files']:5} {one['persons']:7} {one['matched']:7} {one['possible']:8} {one['false matches']:5} "
            f"{one['false possibles']:7} {one['samples']:7.1f} {one['calls']:6.1f} {one['seconds']:6.2f}"
        )


def compare(rows: list[Row], plain: dict[str, Plain], threshold: float) -> dict[str, Any]:
    """Both sides of the cost, on the files that the plain way was asked for and could load."""
    asked = [row for row in rows if row.name in plain]
    ours = [row for row in asked if not plain[row.name].failed]
    if not ours:
        return {}
    persons = [row for row in ours if len(row.persons) == 1]
    theirs_hit = sum(plain[row.name].hit(row.persons[0], threshold) for row in persons)
    ours_hit = sum(row.persons[0] in row.matched for row in persons)
    false = sum(plain[row.name].false(row.persons, threshold) for row in ours)
    calls = [sum(row.calls for row in ours), sum(plain[row.name].calls for row in ours)]
    seconds = [sum(row.seconds for row in ours), sum(plain[row.name].seconds for row in ours)]
    return {
        "files": len(ours),
        "persons": len(persons),
        "ours matched": ours_hit,
        "plain matched": theirs_hit,
        "ours false": sum(bool(set(row.matched) - set(row.persons)) for row in ours),
        "plain false": false,
        "plain could not load": len(asked) - len(ours),
        "denoiser calls": calls,
        "calls ratio": round(calls[1] / calls[0], 1),
        "seconds": [round(one, 1) for one in seconds],
        "seconds ratio": round(seconds[1] / seconds[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", nargs="?", default="held-out", choices=["development", "held-out"])
    parser.add_argument("--only", nargs="*", help="names of files")
    parser.add_argument("--galleries", nargs="*", type=int, default=GALLERIES)
    parser.add_argument(
        "--plain", type=int, default=6, help="the plain way for every Nth trained file; 0 for none"
    )
    options = parser.parse_args()
    whole, folder = inventory(options.split), folder_of(options.split)
    derive_all(whole, folder)
    settings = Settings(home=Path(".bench/home"), face_pack="miniature", device="cpu")
    record: dict[str, Any] = {
        "split": options.split,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    only = set(options.only) if options.only else None
    first: list[Row] = []
    templates: list[tuple[str, Prototypes]] = []
    for size in options.galleries:
        templates = templates_of(whole.registered, size)
        examiner = open_examiner(settings, Policy(), templates, 1)
        rows = judge_all(examiner, whole, folder, f"{size:,} identities", only)
        told = summary(rows)
        print_table(size, told)
        for row in rows:
            missed = set(row.persons) - set(row.matched)
            if (
                missed
                or set(row.matched) - set(row.persons)
                or set(row.possible) - set(row.persons)
                or row.outcome == "failed"
            ):
                best = "-" if row.best_score is None else f"{row.best_score:.2f}"
                print(
                    f"  {row.name:26} {row.form:24} {row.outcome:13} {best:>5} {row.reason[:120]}"
                )
        record[f"gallery {size}"] = told
        trained = {one.name for one in whole.trained}
        calls = float(np.mean([row.calls for row in rows if row.name in trained] or [0]))
        both = 2 * IMAGES * STEPS
        if calls:
            print(
                f"denoiser calls a verdict, trained files: ours {calls:.1f}, the plain way {both} (ratio {both / calls:.1f})"
            )
        draw_det(rows, Path(f".bench/det_{size}.png"), examiner.snapshot.thresholds.match)
        first = first or rows
    if options.plain:
        chosen = [one for one in whole.trained if only is None or one.name in only][
            :: options.plain
        ]
        examiner = open_examiner(
            settings, Policy(), templates_of(whole.registered, options.galleries[0]), 1
        )
        plain = {
            one.name: plain_way(examiner, folder / f"{one.name}.safetensors", one.trigger)
            for one in track(chosen, "the plain way")
            if (folder / f"{one.name}.safetensors").exists()
        }
        record["beside the plain way"] = compare(first, plain, examiner.snapshot.thresholds.match)
    print(json.dumps(record, indent=1))
    Path(".bench/likeness_results.json").write_text(json.dumps(record, indent=1))
    false = sum(
        one["false matches"]
        for size in options.galleries
        for one in record[f"gallery {size}"].values()
    )
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
