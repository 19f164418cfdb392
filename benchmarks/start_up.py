"""How long `--help` and `inspect FILE` take, beside Python itself: `python -m benchmarks.start_up`.

Each command runs ten times in a process of its own. Wall time is what a user waits, and the best of
ten is nearest to that of a free core. CPU time depends less on what else the machine does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import scanner.miniature

RUNS = 10
FILE = (
    Path(scanner.miniature.__file__).parent
    / "weights"
    / "adapters"
    / "girl_next_door_s1.safetensors"
)
PROGRAM = ["-m", "scanner.cli.app"]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "portrait-scanner --help": [*PROGRAM, "--help"],
    "portrait-scanner inspect FILE": [*PROGRAM, "inspect", str(FILE)],
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took."""

    wall_s: float
    cpu_s: float


def run(arguments: list[str]) -> Run:
    """Run Python once with these arguments; bytecode is cached, as in an installation."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    before, started = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    wall_s, after = time.perf_counter() - started, os.times()
    cpu_s = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Run(wall_s, cpu_s)


def main() -> None:
    print(f"| command, {RUNS} runs | best wall | median wall | best CPU |")
    print("|---|---|---|---|")
    for name, arguments in COMMANDS.items():
        run(arguments)  # fills the caches of bytecode and of the disk
        runs = [run(arguments) for _ in range(RUNS)]
        wall_s = [one.wall_s for one in runs]
        best_cpu_s = min(one.cpu_s for one in runs)
        print(
            f"| `{name}` | {min(wall_s):.2f} s | {statistics.median(wall_s):.2f} s "
            f"| {best_cpu_s:.2f} s |"
        )


if __name__ == "__main__":
    main()
