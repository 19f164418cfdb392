"""Denoiser calls of "draw, then register one by one" beside those of one scan with all registered.

Checkpoints are scanned twice, each time in a home of its own. In the first, everybody is registered
before the scan. In the second, nobody of them is, and then the same people register one after the
other, each followed by a retrosearch. The benchmark prints the calls of both, and the findings that
differ. The checkpoints are those of the miniature world, or those of LikenessBench that
`python -m benchmarks.likeness.build held-out` has built. Of some people no checkpoint was trained:
they register last, or, in both homes, before anything is drawn.

Run: python -m benchmarks.draw_once [--others 10] [--before 0] [--likeness]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.likeness.build import derive_all, folder_of
from benchmarks.likeness.inventory import Inventory, inventory
from benchmarks.retrosearch import Silent, register
from scanner.factories import open_scan_session
from scanner.miniature.albums import FREE_SEEDS
from scanner.miniature.world import load_world
from scanner.scanning.retrosearch import retrosearch
from scanner.scanning.scan import run_scan
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

Findings = set[tuple[str, str, str]]


def findings(session: ScanSession, folder: Path) -> tuple[Findings, int]:
    """File, person and outcome of every finding, and the denoiser calls that it took."""
    result = run_scan(session, [str(folder)], Silent())
    found = {
        (reported.row.file, str(reported.identity), reported.row.outcome)
        for reported in result.rows
        if reported.row.identity_id
    }
    return found, result.totals.denoiser_calls


def built_files(whole: Inventory) -> list[Path]:
    """Return the files of LikenessBench that are built, and derive those that need no training."""
    folder = folder_of(whole.split)
    trained = [
        file.name for file in whole.trained if (folder / f"{file.name}.safetensors").exists()
    ]
    derived = tuple(file for file in whole.derived if set(file.of) <= set(trained))
    derive_all(replace(whole, derived=derived), folder)
    return [folder / f"{name}.safetensors" for name in (*trained, *(one.name for one in derived))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", type=int, default=10, help="people of whom no file was trained")
    parser.add_argument("--before", type=int, default=0, help="people registered in both homes")
    parser.add_argument("--likeness", action="store_true", help="the files of LikenessBench")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    if options.likeness:
        whole = inventory("held-out")
        files = built_files(whole)
        seeds = [*whole.registered, *FREE_SEEDS[: options.others]]
    else:
        world = load_world()
        files = [file.path for file in world.files]
        seeds = [person.seed for person in world.registered] + list(FREE_SEEDS[: options.others])
    for path in files:
        shutil.copy(path, folder)
    before = FREE_SEEDS[options.others : options.others + options.before]
    print(f"{len(files)} files, {len(seeds)} people, {len(before)} registered before")
    homes = [Path(tempfile.mkdtemp()) for _ in range(2)]
    with open_scan_session(Settings(home=homes[0], face_pack="miniature", device="cpu")) as session:
        register(session, [*before, *seeds])
        began = time.monotonic()
        at_once, calls = findings(session, folder)
        print(f"all registered first: {calls:,} calls, {time.monotonic() - began:.0f} s")
    with open_scan_session(Settings(home=homes[1], face_pack="miniature", device="cpu")) as session:
        register(session, before)
        began = time.monotonic()
        _, drawn = findings(session, folder)
        print(f"drawn before they register: {drawn:,} calls, {time.monotonic() - began:.0f} s")
        total, began = drawn, time.monotonic()
        for seed in seeds:
            register(session, [seed])
            result = retrosearch(session, Silent())
            total += result.totals.denoiser_calls
            print(
                f"  person {seed}: {result.totals.drawn_files} files drawn again, "
                f"{result.totals.denoiser_calls:,} calls, {result.totals.seconds:.1f} s"
            )
        one_by_one, last = findings(session, folder)
        print(
            f"registered one by one: {total:,} calls, {time.monotonic() - began:.0f} s, "
            f"{total / calls:.2f} times the calls of one scan; a scan afterwards: {last} calls"
        )
    print(f"findings: {len(at_once)} at once, {len(one_by_one)} one by one")
    for title, differing in (
        ("only at once", at_once - one_by_one),
        ("only one by one", one_by_one - at_once),
    ):
        for finding in sorted(differing):
            print(f"  {title}: {finding}")
    for path in (folder, *homes):
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
