"""Run LikenessBench: verdicts and their cost beside those of the plain way.

`python -m benchmarks.likeness.run`. The plain way is the obvious program: load_lora_weights,
sixteen images at thirty steps one at a time, sixteen controls likewise, and the cosine of the best
single image against the gallery. It runs only on files that it can load, and by default only on
every sixth file (--plain), because it takes forty times as long.

All tuning was done on the `development` split; figures are those of `held-out`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
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
from scanner.factories import open_identifier
from scanner.identification.policy import Policy
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.trigger_search import candidate_words
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.sampling_request import SamplingRequest
from scanner.settings import Settings
from scanner.triage.header import triage_file

GALLERIES = (1_000, 10_000)


@dataclass(frozen=True)
class Row:
    """The verdict on one file, and its cost."""

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


def request_of(path: Path, stated: Sequence[str] = ()) -> SamplingRequest:
    """Return the request for a file.

    Args:
        stated: triggers of its listing.
    """
    triage = triage_file(path)
    triggers = usable_triggers([*stated, *triage.triggers])
    candidates = () if triggers else candidate_words([path.stem])
    problem = "; ".join(triage.problems) if not triage.readable else None
    return SamplingRequest(
        path, triage.sha256 or "", triage.kind, triage.family, triggers, candidates, problem=problem
    )


def judge_all(
    identifier: CheckpointIdentifier,
    whole: Inventory,
    folder: Path,
    title: str,
    only: set[str] | None,
) -> list[Row]:
    files = [
        (
            trained.name,
            trained.part,
            f"{trained.form.algorithm} {trained.form.naming} {trained.form.rank}",
            () if trained.person is None or trained.part == "stranger" else (trained.person,),
        )
        for trained in whole.trained
    ]
    files += [
        (derived.name, derived.part, derived.change, derived.persons) for derived in whole.derived
    ]
    rows = []
    for name, part, form, persons in track(
        [file for file in files if only is None or file[0] in only], title
    ):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            print(f"missing: {name}")
            continue
        started = time.monotonic()
        record = identifier.identify(request_of(path)).verdict.to_json()
        seconds = time.monotonic() - started
        found = {
            outcome: tuple(
                int(finding["identity_id"])
                for finding in record["findings"]
                if finding["outcome"] == outcome
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
                identifier.snapshot.thresholds.match,
                record["samples"],
                record["denoiser_calls"],
                seconds,
                record["reason"],
            )
        )
    return rows


def summary(rows: list[Row]) -> dict[str, Any]:
    """Recall and false matches by part; a merge counts once for each of its people."""
    parts: dict[str, Any] = {}
    by_part: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_part[row.part if row.part != "altered" else f"altered: {row.form}"].append(row)
    for part, some in sorted(by_part.items()):
        wanted = [(row, person) for row in some for person in row.persons]
        hit = sum(person in row.matched for row, person in wanted)
        near = sum(person in row.possible for row, person in wanted)
        parts[part] = {
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
    return parts


def print_table(size: int, parts: dict[str, Any]) -> None:
    print(f"\ngallery of {size:,}")
    print(
        f"{'part':24} {'files':>5} {'persons':>7} {'matched':>7} {'possible':>8} {'false':>5} "
        f"{'f.poss.':>7} {'samples':>7} {'calls':>6} {'s':>6}"
    )
    for part, row in parts.items():
        print(
            f"{part:24} {row['files']:5} {row['persons']:7} {row['matched']:7} "
            f"{row['possible']:8} {row['false matches']:5} {row['false possibles']:7} "
            f"{row['samples']:7.1f} {row['calls']:6.1f} {row['seconds']:6.2f}"
        )


def compare(rows: list[Row], plain: dict[str, Plain], threshold: float) -> dict[str, Any]:
    """Matches and costs of both ways, on the files that the plain way could load."""
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
        "seconds": [round(number, 1) for number in seconds],
        "seconds ratio": round(seconds[1] / seconds[0], 1),
    }


def print_errors(rows: list[Row]) -> None:
    """Print the files whose verdict misses a person, names a wrong one, or is `failed`."""
    for row in rows:
        persons = set(row.persons)
        missed = persons - set(row.matched)
        wrong = (set(row.matched) | set(row.possible)) - persons
        if missed or wrong or row.outcome == "failed":
            best = "-" if row.best_score is None else f"{row.best_score:.2f}"
            print(f"  {row.name:26} {row.form:24} {row.outcome:13} {best:>5} {row.reason[:120]}")


def print_calls(rows: list[Row], whole: Inventory) -> None:
    """Print the mean number of denoiser calls for a trained file, beside the plain way's."""
    trained = {file.name for file in whole.trained}
    calls = float(np.mean([row.calls for row in rows if row.name in trained] or [0]))
    plain = 2 * IMAGES * STEPS
    if calls:
        print(
            f"denoiser calls a verdict, trained files: ours {calls:.1f}, the plain way {plain} "
            f"(ratio {plain / calls:.1f})"
        )


def beside_plain_way(
    rows: list[Row], identifier: CheckpointIdentifier, whole: Inventory, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the plain way on every Nth trained file, and compare."""
    folder = folder_of(options.split)
    only = set(options.only) if options.only else None
    files = [file for file in whole.trained if only is None or file.name in only]
    plain = {
        file.name: plain_way(identifier, folder / f"{file.name}.safetensors", file.trigger)
        for file in track(files[:: options.plain], "the plain way")
        if (folder / f"{file.name}.safetensors").exists()
    }
    return compare(rows, plain, identifier.snapshot.thresholds.match)


def options_of_run() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", nargs="?", default="held-out", choices=["development", "held-out"])
    parser.add_argument("--only", nargs="*", help="names of files")
    parser.add_argument("--galleries", nargs="*", type=int, default=GALLERIES)
    parser.add_argument(
        "--plain", type=int, default=6, help="the plain way for every Nth trained file; 0 for none"
    )
    return parser.parse_args()


def main() -> int:
    options = options_of_run()
    whole, folder = inventory(options.split), folder_of(options.split)
    derive_all(whole, folder)
    settings = Settings(home=Path(".bench/home"), face_pack="miniature", device="cpu")
    record: dict[str, Any] = {
        "split": options.split,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    only = set(options.only) if options.only else None
    first: list[Row] = []
    false = 0
    for size in options.galleries:
        templates = templates_of(whole.registered, size)
        identifier = open_identifier(settings, Policy(), templates, 1)
        rows = judge_all(identifier, whole, folder, f"{size:,} identities", only)
        parts = summary(rows)
        print_table(size, parts)
        print_errors(rows)
        print_calls(rows, whole)
        draw_det(rows, Path(f".bench/det_{size}.png"), identifier.snapshot.thresholds.match)
        record[f"gallery {size}"] = parts
        false += sum(part["false matches"] for part in parts.values())
        first = first or rows
    if options.plain:
        templates = templates_of(whole.registered, options.galleries[0])
        identifier = open_identifier(settings, Policy(), templates, 1)
        record["beside the plain way"] = beside_plain_way(first, identifier, whole, options)
    print(json.dumps(record, indent=1))
    Path(".bench/likeness_results.json").write_text(json.dumps(record, indent=1))
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
