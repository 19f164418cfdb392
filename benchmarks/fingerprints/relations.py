"""Whether copies and merges are related to their sources, and independent files to none.

`python -m benchmarks.fingerprints.relations [development|held-out]`, on the trained files of
LikenessBench (`python -m benchmarks.likeness.build`). Every changed copy of every file is searched
among all trained files; then every merge; then every trained file among the others.
"""

from __future__ import annotations

import itertools
import json
import platform
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.progress import track
from safetensors.torch import load_file, save_file

from benchmarks.fingerprints.changes import (
    Modules,
    Tensors,
    copies_of,
    in_naming,
    is_plain_lora,
    merged,
    modules_of,
)
from benchmarks.likeness.build import folder_of
from benchmarks.likeness.changes import read_metadata
from benchmarks.likeness.inventory import inventory
from scanner.clock import utc_now
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import fingerprint_of
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.relation import Relation
from scanner.fingerprints.relatives import StoreSearch, least_cosine, relatives_of

EXPECTED = {
    "bf16": Relation.RECAST,
    "fp8": Relation.RECAST,
    "8-bit": Relation.RECAST,
    "10 % noise": Relation.ALTERED,
    "30 % pruned": Relation.ALTERED,
    "half strength": Relation.RESCALED,
    "rank x 2": Relation.RESIZED,
    "rank / 2": Relation.RESIZED,
    "rank / 4": Relation.RESIZED,
    "full difference": Relation.RESIZED,
}
STRENGTHS = {"full": 1.0, "half": 0.5}


@dataclass
class Outcome:
    """What became of one kind of change."""

    files: int = 0
    related: int = 0
    alone: int = 0
    cosines: list[float] = field(default_factory=list)
    named: Counter[str] = field(default_factory=Counter)


class Bench:
    """The trained files of a split in a store of their own."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.store = FingerprintStore(folder / "fingerprints.db")
        self.search = StoreSearch(self.store)
        self.files: dict[str, KnownFile] = {}
        self.tensors: dict[str, Tensors] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.without: dict[str, str] = {}
        for trained in inventory(split).trained:  # type: ignore[arg-type]
            path = folder_of(split) / f"{trained.name}.safetensors"  # type: ignore[arg-type]
            if path.exists():
                self._take(trained.name, path)

    def _take(self, name: str, path: Path) -> None:
        try:
            self.files[name] = KnownFile(name, None, name, fingerprint_of(path))
        except NoFingerprint as error:
            self.without[name] = str(error)
            return
        self.store.add(self.files[name], utc_now())
        self.tensors[name], self.metadata[name] = load_file(path), read_metadata(path)

    def known(self, tensors: Tensors, metadata: dict[str, str] | None) -> KnownFile:
        path = self.folder / "changed.safetensors"
        plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, path, metadata)
        return KnownFile("changed", None, "changed", fingerprint_of(path))


def judge_copies(bench: Bench) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for name in track(bench.files, "copies"):
        copies = copies_of(bench.tensors[name])
        for change, tensors in copies.items():
            known = bench.known(tensors, bench.metadata[name])
            relatives = {one.file.sha256: one for one in relatives_of(known, bench.search)}
            outcome = outcomes[change]
            outcome.files += 1
            own = bench.files[name].fingerprint
            for network in Network:
                if network in own.sketches and network in known.fingerprint.sketches:
                    outcome.cosines.append(
                        float(
                            own.sketches[network].direction()
                            @ known.fingerprint.sketches[network].direction()
                        )
                    )
            if name in relatives:
                outcome.related += 1
                outcome.alone += len(relatives) == 1
                outcome.named[relatives[name].relation] += 1
            else:
                print(f"  not related: {name}, {change}")
    return outcomes


def judge_merges(bench: Bench, most: int) -> dict[str, Outcome]:
    """Merges of two and three plain LoRAs, chosen at random, at two strengths."""
    plain: dict[str, Modules] = {}
    for name, tensors in bench.tensors.items():
        try:
            modules = modules_of(tensors)
        except KeyError:
            continue
        if modules and is_plain_lora(modules):
            plain[name] = modules
    rng = np.random.default_rng(32)
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for count in (2, 3):
        groups = list(itertools.combinations(sorted(plain), count))
        chosen = rng.choice(len(groups), min(most, len(groups)), replace=False)
        for group in track([groups[place] for place in chosen], f"merges of {count}"):
            for strength, number in STRENGTHS.items():
                together = merged([plain[name] for name in group], [number] * count)
                known = bench.known(in_naming(together, "kohya"), None)
                relatives = {one.file.sha256: one for one in relatives_of(known, bench.search)}
                outcome = outcomes[f"merge of {count}, {strength} strength"]
                outcome.files += count
                outcome.related += sum(name in relatives for name in group)
                outcome.alone += set(relatives) == set(group)
                outcome.named.update(one.relation for one in relatives.values())
                outcome.cosines += [one.cosine for one in relatives.values()]
                if set(relatives) != set(group):
                    print(f"  {group}: {sorted(relatives)}")
    return outcomes


def judge_independent(bench: Bench) -> tuple[int, int, list[float]]:
    """Pairs of trained files, false relations among them, and all cosines."""
    false, cosines = 0, []
    for name, known in bench.files.items():
        found = relatives_of(known, bench.search)
        for one in found:
            false += 1
            print(f"  false: {name} {one.relation} {one.file.sha256} {one.cosine:.3f}")
    for network in Network:
        own = [
            known.fingerprint.sketches[network].direction()
            for known in bench.files.values()
            if network in known.fingerprint.sketches
        ]
        if len(own) > 1:
            matrix = np.stack(own) @ np.stack(own).T
            cosines += matrix[np.triu_indices(len(own), 1)].tolist()
    return len(cosines), false, cosines


def draw_roc(related: list[float], unrelated: list[float], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    scores = np.array([*related, *np.abs(unrelated)])
    truth = np.array([1] * len(related) + [0] * len(unrelated))
    order = np.argsort(-scores)
    hits = np.cumsum(truth[order]) / max(1, len(related))
    alarms = np.cumsum(1 - truth[order]) / max(1, len(unrelated))
    left.plot(alarms, hits)
    left.set(xlabel="independent pairs", ylabel="copies", title="ROC of the cosine")
    right.hist(np.abs(unrelated), 60, range=(0, 1), label="independent", density=True)
    right.hist(related, 60, range=(0, 1), label="copies", density=True, alpha=0.7)
    right.set(xlabel="cosine of the sketches", yscale="log")
    right.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    split = sys.argv[1] if len(sys.argv) > 1 else "held-out"
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder), split)
        copies = judge_copies(bench)
        outcomes = copies | judge_merges(bench, 60)
        pairs, false, unrelated = judge_independent(bench)
        least = least_cosine(len(bench.files))
        bench.store.close()
    # Sources of merges are found in what others leave, so their own cosines separate nothing.
    related = [cosine for outcome in copies.values() for cosine in outcome.cosines]
    print(f"{len(bench.files)} files; without a fingerprint: {bench.without}")
    print(f"{'change':28} {'files':>5} {'related':>7} {'alone':>5} {'least':>6}  names")
    for change, outcome in outcomes.items():
        names = ", ".join(f"{name} {count}" for name, count in outcome.named.most_common())
        print(
            f"{change:28} {outcome.files:5} {outcome.related:7} {outcome.alone:5} "
            f"{min(outcome.cosines):6.3f}  {names}"
        )
    print(
        f"independent: {pairs} pairs, {false} false relations, cosine at most "
        f"{max(np.abs(unrelated)):.3f}, spread {np.std(unrelated) * 32:.2f} / 32; related from "
        f"{least:.3f}; smallest margin of a copy {min(related) - max(np.abs(unrelated)):.3f}"
    )
    draw_roc(related, unrelated, Path(f".bench/fingerprints_{split}.png"))
    missed = sum(outcome.files - outcome.related for outcome in outcomes.values())
    record: dict[str, Any] = {
        "split": split,
        "machine": platform.machine(),
        "missed": missed,
        "false": false,
        "independent pairs": pairs,
        "changes": {
            change: {
                "files": outcome.files,
                "related": outcome.related,
                "least cosine": round(min(outcome.cosines), 4),
                "names": dict(outcome.named),
            }
            for change, outcome in outcomes.items()
        },
    }
    Path(f".bench/fingerprints_{split}.json").write_text(json.dumps(record, indent=1))
    return 1 if missed or false else 0


if __name__ == "__main__":
    sys.exit(main())
