"""Real faults in copies of the demo's home, and a table of what was lost.

The faults are kill, disk, network, key, clock, database and requests. A small disk (tmpfs) needs
root, a closed network needs `unshare`, and another clock needs Debian's `faketime`. If one of them
is missing, the table says so.

Run: python -m benchmarks.fault_day [FAULT ...]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import re
import secrets
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.gate import free_port, running
from scanner.miniature.world import ADAPTERS

COMMAND = [sys.executable, "-m", "scanner.cli.app"]
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DATABASES = ("scans.db", "crawl.db", "cases.db", "vault/vault.db")
AUTHORITIES = {
    "PORTRAIT_SCANNER_TIMESTAMP_AUTHORITIES": (
        '[{"name": "example", "url": "http://tsa.example/"}]'
    )
}
KILLS, REQUESTS, SEED = 5, 1000, 9


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `lost` names what the home no longer holds."""

    fault: str
    done: str
    seen: str
    lost: str


@dataclass(frozen=True, slots=True)
class State:
    """What must not get lost: people, verdicts, cases and the audit log."""

    people: tuple[str, ...]
    cases: tuple[str, ...]
    judged: frozenset[str]
    log_is_whole: bool

    def lost(self, now: State) -> str:
        gone = [
            *set(self.people) - set(now.people),
            *set(self.cases) - set(now.cases),
            *self.judged - now.judged,
        ]
        if not now.log_is_whole:
            gone.append("the audit log is not whole")
        return ", ".join(gone) or "nothing"


def program(
    home: Path, *words: str, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, *COMMAND, "--home", str(home), *words]
    everything = {**os.environ, **environment}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=everything, timeout=900
    )


def message_of(done: subprocess.CompletedProcess[str], home: Path) -> str:
    """Return the last sentence that the user saw, and the exit code."""
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    errors = [
        line for line in lines if line.startswith(("error:", "Nobody was searched for"))
    ] or lines[-1:]
    text = " ".join(errors).replace(str(home), "HOME").replace("|", "/")
    return f"{re.sub(r'/tmp/[^ ]*/', '', text)} (exit {done.returncode})"


def state(home: Path) -> State:
    people = json.loads(program(home, "identities", "--json").stdout)["identities"]
    cases = json.loads(program(home, "cases", "--json").stdout)["cases"]
    with contextlib.closing(sqlite3.connect(home / "scans.db")) as db:
        judged = {
            f"{key} of {scan}"
            for scan, key in db.execute(
                "select target, item_key from items where verdict is not null"
            )
        }
    whole = program(home, "audit", "verify").returncode == 0
    return State(
        tuple(person["name"] for person in people),
        tuple(case["case_id"] for case in cases),
        frozenset(judged),
        whole,
    )


def verdicts(home: Path) -> dict[str, tuple[str, float | None]]:
    """Scan all files of the miniature world; return outcome and score by file and person."""
    done = program(home, "scan", str(ADAPTERS), "--json")
    return {
        f"{row['file']} {row['identity']}": (row["outcome"], row["score"])
        for row in json.loads(done.stdout)["results"]
    }


def kill_after(seconds: float, home: Path, *words: str) -> None:
    """Start a command and kill it with signal 9."""
    process = subprocess.Popen(
        [*COMMAND, "--home", str(home), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


class FaultDay:
    """Copies of one home, one for each fault."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.demo = folder, folder / "demo"
        done = program(self.demo, "demo")
        if done.returncode:
            raise SystemExit(f"the demo failed: {done.stderr}")
        self.before = state(self.demo)
        self.random = random.Random(SEED)

    @contextlib.contextmanager
    def copy(self, name: str) -> Iterator[Path]:
        home = self.folder / name
        shutil.copytree(self.demo, home)
        yield home
        shutil.rmtree(home)

    def row(self, fault: str, done: str, seen: str, home: Path) -> Row:
        return Row(fault, done, seen, self.before.lost(state(home)))

    def kill(self) -> Iterator[Row]:
        with self.copy("undisturbed") as home:
            started = time.monotonic()
            expected, seconds = verdicts(home), time.monotonic() - started
        with self.copy("killed") as home:
            for _ in range(KILLS):
                kill_after(self.random.uniform(0.2, 0.9) * seconds, home, "scan", str(ADAPTERS))
            compared = "are the same" if verdicts(home) == expected else "DIFFER"
            seen = f"the same command goes on; verdicts and scores {compared}"
            yield self.row(
                "kill -9", f"`scan` of {len(expected)} verdicts killed {KILLS} times", seen, home
            )
            case = self.before.cases[0]
            for words in (
                ["report", case, "--out", str(home / "out"), "--bundle"],
                ["intake", str(home / "story" / "posts"), "--by", "Li Na"],
            ):
                kill_after(self.random.uniform(1, 3), home, *words)
                seen = message_of(program(home, *words), home)
                yield self.row("kill -9", f"`{words[0]}` killed, and given again", seen, home)

    def disk(self) -> Iterator[Row]:
        mount = self.folder / "small"
        mount.mkdir()
        used = sum(path.stat().st_size for path in self.demo.rglob("*") if path.is_file())
        files = sum(1 for _ in self.demo.rglob("*"))
        size = used + files * 4096 + (64 << 20)
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)], check=False
        ).returncode:
            yield Row("full disk", "nothing: a small disk needs root", "", "")
            return
        try:
            home = mount / "demo"
            shutil.copytree(self.demo, home)
            filler = mount / "filler"
            _fill(filler)
            case, people = self.before.cases[0], self.folder / "photos"
            program(self.demo, "miniature", "photos", "777", str(people))
            for words in (
                ["scan", str(ADAPTERS)],
                ["report", case, "--out", str(home / "out"), "--bundle"],
                ["enroll", "person-777", str(people), "--yes", "--submitted-by", "sam"],
                ["vault", "backup"],
            ):
                done = program(home, *words)
                filler.unlink()
                command = " ".join(word for word in words[:2] if "/" not in word)
                seen = message_of(done, home)
                yield self.row("full disk", f"`{command}` with no byte free", seen, home)
                _fill(filler)
            filler.unlink()
            seen = message_of(program(home, "scan", str(ADAPTERS)), home)
            yield self.row("full disk", "room made, `scan` given again", seen, home)
        finally:
            subprocess.run(["umount", str(mount)], check=False)

    def network(self) -> Iterator[Row]:
        alone = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        with self.copy("offline") as home:
            bundle = next((home / "story").glob("evidence-*"))
            for words in (
                ["scan", "civitai"],
                ["crawl", "huggingface"],
                ["fetch", "civitai:910001"],
                ["lookup", str(ADAPTERS / "dvx_actor.safetensors")],
                ["timestamp", str(bundle)],
                ["verify", str(bundle)],
                ["scan", str(ADAPTERS)],
                ["doctor"],
            ):
                done = program(home, *words, before=alone, **AUTHORITIES)
                command = " ".join(word for word in words if "/" not in word)
                yield self.row("no network", f"`{command}`", message_of(done, home), home)

    def key(self) -> Iterator[Row]:
        with self.copy("locked") as home:
            path = home / "vault" / "master.key"
            right = path.read_bytes()
            commands = (["identities"], ["scan", str(ADAPTERS)], ["withdraw", "person-102"])
            for name, wrong in (
                ("another key", base64.b64encode(secrets.token_bytes(32))),
                ("noise", secrets.token_bytes(len(right))),
                ("half a key", right[: len(right) // 2]),
                ("no key", None),
            ):
                path.unlink()
                if wrong is not None:
                    path.write_bytes(wrong)
                    path.chmod(0o600)
                done = [program(home, *words) for words in commands]
                path.write_bytes(right)
                path.chmod(0o600)
                messages = {message_of(result, home) for result in done}
                yield self.row(
                    "wrong key",
                    f"{name}: `identities`, `scan`, `withdraw`, then the right key again",
                    " / ".join(sorted(messages)),
                    home,
                )

    def clock(self) -> Iterator[Row]:
        if FAKETIME is None:
            yield Row("clock change", "nothing: needs Debian's faketime", "", "")
            return
        with self.copy("clock") as home:
            back = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "-365d"}
            ahead = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+1095d"}
            accept = ["audit", "accept-clock", "--reason", "battery"]
            for done, clock, words in (
                ("a year back: `withdraw`", back, ["withdraw", "person-102"]),
                ("a year back: `scan`", back, ["scan", str(ADAPTERS)]),
                ("three years ahead: `withdraw --ended`", ahead, ["withdraw", "--ended"]),
                ("three years ahead: `scan`", ahead, ["scan", str(ADAPTERS)]),
                ("three years ahead: `vault backup`", ahead, ["vault", "backup"]),
                ("right again: `vault backup`", {}, ["vault", "backup"]),
                ("right again: `audit accept-clock`", {}, accept),
                ("then `vault backup`", {}, ["vault", "backup"]),
            ):
                seen = message_of(program(home, *words, **clock), home)
                yield self.row("clock change", done, seen, home)

    def database(self) -> Iterator[Row]:
        asking = {
            "scans.db": ["scan", str(ADAPTERS)],
            "crawl.db": ["listings"],
            "cases.db": ["cases"],
            "vault/vault.db": ["identities"],
        }
        for name in DATABASES:
            with self.copy("broken") as home:
                path, backup = home / name, home / "kept.bak"
                with (
                    contextlib.closing(sqlite3.connect(path)) as db,
                    contextlib.closing(sqlite3.connect(backup)) as kept,
                ):
                    db.backup(kept)
                for how, harm in (
                    ("its middle overwritten", self._overwrite),
                    ("cut in half", _cut),
                    ("emptied", _empty),
                ):
                    harm(path)
                    seen = message_of(program(home, *asking[name]), home)
                    for suffix in ("", "-wal", "-shm"):
                        path.with_name(path.name + suffix).unlink(missing_ok=True)
                    shutil.copy(backup, path)
                    yield self.row(
                        "broken database",
                        f"{name} {how}: `{asking[name][0]}`; then the copy put back",
                        seen,
                        home,
                    )

    def _overwrite(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            for at in range(4096, size, max(4096, size // 40)):
                file.seek(at)
                file.write(self.random.randbytes(2048))

    def requests(self) -> Iterator[Row]:
        with self.copy("served") as home:
            program(
                home, "account", "add", "gate@hub.example", "--name", "gate", "--role", "operator"
            )
            scopes = ("--scope", "scans:read", "--scope", "scans:write")
            issued = program(
                home, "account", "token", "gate@hub.example", "--name", "gate", *scopes, "--json"
            )
            token, port = json.loads(issued.stdout)["token"], free_port()
            url = f"http://127.0.0.1:{port}"
            command = [*COMMAND, "--home", str(home), "serve", "--port", str(port)]
            with running(command, f"{url}/healthz", home):
                for path in ("/healthz", "/sign-in", "/api/v1/scans"):
                    counts, times = asyncio.run(
                        _all_at_once(url + path, {"Authorization": f"Bearer {token}"})
                    )
                    answers = ", ".join(
                        f"{count} answered {status}" for status, count in counts.most_common()
                    )
                    median_s, last_s = statistics.median(times), max(times)
                    seen = f"{answers}; median {median_s:.2f} s, last {last_s:.2f} s"
                    yield self.row("1,000 requests at once", f"`GET {path}`", seen, home)


async def _all_at_once(url: str, headers: dict[str, str]) -> tuple[Counter[str], list[float]]:
    counts, times = Counter[str](), list[float]()
    limits = httpx.Limits(max_connections=REQUESTS)
    async with httpx.AsyncClient(headers=headers, timeout=120, limits=limits) as client:

        async def request() -> None:
            begun = time.perf_counter()
            try:
                counts[str((await client.get(url)).status_code)] += 1
            except httpx.HTTPError as error:
                counts[type(error).__name__] += 1
            times.append(time.perf_counter() - begun)

        await asyncio.gather(*(request() for _ in range(REQUESTS)))
    return counts, times


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def main() -> None:
    faults = ("kill", "disk", "network", "key", "clock", "database", "requests")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", choices=[*faults, []], help="all where none is named")
    chosen = parser.parse_args().faults or faults
    with tempfile.TemporaryDirectory() as folder:
        day = FaultDay(Path(folder))
        print("| fault | what was done | what the user saw | lost |\n|---|---|---|---|", flush=True)
        lost = 0
        for fault in chosen:
            made: Callable[[], Iterator[Row]] = getattr(day, fault)
            for row in made():
                print(f"| {row.fault} | {row.done} | {row.seen} | {row.lost} |", flush=True)
                lost += row.lost not in ("nothing", "")
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
