"""Run LikenessBench-Evade: `python -m benchmarks.evasion.run [development|held-out]`.

Prints for each kind what users see (oracle: plain diffusers with the user's weight and words), what
the scanner says, and the denoiser calls. Files that do not show their person to users (a mean
cosine under SHOWN) are listed apart: there is nothing to find in them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.progress import track

from benchmarks.evasion.build import folder_of, train_all
from benchmarks.evasion.edits import write
from benchmarks.evasion.inventory import Evasion, evasions
from benchmarks.evasion.oracle import score_in_users_hands
from benchmarks.likeness import build as likeness
from benchmarks.likeness.gallery import templates_of
from benchmarks.likeness.run import request_of
from crawlers.hashes import sha256_of
from scanner.adapters.companion import Companion
from scanner.factories import open_identifier
from scanner.identification.policy import Policy
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.settings import Settings

GALLERY = 1_000
# Lowest score at which a reviewer would recognise a person; matches of LikenessBench start here.
SHOWN = 0.5
_WORST = ("match", "possible", "inconclusive", "failed", "clear")


@dataclass(frozen=True)
class Row:
    """The verdict on one evasion.

    Attributes:
        outcome: "match" and "possible" only for the right person.
        wrong: number of matches of anybody else.
    """

    name: str
    kind: str
    origin: str
    users: float
    outcome: str
    wrong: int
    calls: int
    seconds: float
    reason: str


def judge(identifier: CheckpointIdentifier, evasion: Evasion, paths: Sequence[Path]) -> Row:
    """Judge the files of an evasion; the best outcome of any of them counts."""
    started = time.monotonic()
    outcomes, calls, wrong, reasons = [], 0, 0, []
    companions = [Companion(path, sha256_of(path)) for path in paths]
    for path in paths:
        beside = tuple(one for one in companions if one.path != path)
        request = replace(request_of(path, evasion.triggers), companions=beside)
        verdict = identifier.identify(request).verdict
        calls += verdict.denoiser_calls or 0
        own = [one for one in verdict.findings if one.identity_id == str(evasion.person)]
        others = [one for one in verdict.findings if one not in own]
        wrong += sum(one.outcome == "match" for one in others)
        if own or not others:
            outcomes.append(own[0].outcome if own else verdict.outcome)
        else:
            outcomes.append("clear")
        reasons.append(verdict.reason or "")
    best = min(outcomes, key=_WORST.index)
    reason = reasons[outcomes.index(best)]
    return Row(
        evasion.name,
        evasion.kind,
        evasion.origin,
        0.0,
        best,
        wrong,
        calls,
        time.monotonic() - started,
        reason,
    )


def print_table(rows: Sequence[Row]) -> None:
    """Print one line a kind."""
    kinds: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.users >= SHOWN:
            kinds[row.origin, row.kind].append(row)
    print(
        f"{'origin':7} {'kind':34} {'users':>5} {'n':>2} "
        + " ".join(f"{one:>12}" for one in _WORST)
        + f" {'calls':>6}"
    )
    for (origin, kind), some in sorted(kinds.items()):
        counts = [sum(row.outcome == one for row in some) for one in _WORST]
        users = sum(row.users for row in some) / len(some)
        calls = sum(row.calls for row in some) / len(some)
        print(
            f"{origin:7} {kind:34} {users:5.2f} {len(some):2} "
            + " ".join(f"{one:12}" for one in counts)
            + f" {calls:6.0f}"
        )
    for origin in ("expert", "paper", "adaptive"):
        some = [row for row in rows if row.origin == origin and row.users >= SHOWN]
        found = sum(row.outcome in ("match", "possible") for row in some)
        clear = sum(row.outcome == "clear" for row in some)
        print(f"{origin}: match or possible {found} of {len(some)}, clear {clear}")
    for row in rows:
        note = "not shown to users" if row.users < SHOWN else row.reason[:110]
        print(f"  {row.name:36} {row.users:5.2f} {row.outcome:12} {row.calls:5} {note}")


def main() -> None:
    """Build what is missing, judge every file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", nargs="?", default="held-out", choices=["development", "held-out"])
    parser.add_argument("--only", nargs="*", help="kinds or names")
    options = parser.parse_args()
    split = options.split
    if not options.only:
        train_all(split)
    folder = folder_of(split)
    whole = [
        one
        for one in evasions(split)
        if not options.only or one.kind in options.only or one.name in options.only
    ]
    persons = tuple(dict.fromkeys(one.person for one in whole))
    templates = templates_of(persons, GALLERY)
    settings = Settings(home=Path(".bench/home"), face_pack="miniature", device="cpu")
    identifier = open_identifier(settings, Policy(), templates, 1)
    known = folder / "users.json"
    users: dict[str, float] = json.loads(known.read_text()) if known.exists() else {}
    rows = []
    for evasion in track(whole, split):
        try:
            paths = write(evasion, folder / "files", folder / "sources", likeness.folder_of(split))
        except FileNotFoundError as error:
            print("missing:", error)
            continue
        row = judge(identifier, evasion, paths)
        if evasion.name not in users:
            person = dict(templates)[str(evasion.person)]
            users[evasion.name] = score_in_users_hands(evasion, paths, identifier.reader, person)
            known.write_text(json.dumps(users, indent=1))
        rows.append(Row(**{**asdict(row), "users": users[evasion.name]}))
    print_table(rows)
    record = {
        "split": split,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "rows": [asdict(row) for row in rows],
    }
    (folder / "results.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
