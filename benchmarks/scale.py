"""Seconds, memory and bytes of every list and every sum, by how much a home holds.

Homes of several sizes are filled through the program's own classes. Then every command, page and
route of the API that lists or sums is asked, and a target is scanned again in which every file is
known. The benchmark prints the seconds (median of five for pages), the size of the answer and the
memory of commands, and the exponent with which the seconds grow from the second largest home to the
largest: 0 if they follow the answer, 1 if they follow the archive. A size is a number of files, of
which up to 100,000 have a case.

Run: python -m benchmarks.scale [--sizes 1000 10000 100000 400000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import httpx

from benchmarks.gate import free_port, memory_mb, running
from benchmarks.gate_retrosearch import load, print_phase
from benchmarks.scale_captures import capture_id_of
from benchmarks.scale_home import (
    ADMIN,
    AGENT,
    DESK,
    HOLDER,
    TARGET,
    Sizes,
    crawl_listings,
    fill,
    listing_of,
    name_of_person,
    sha256_of,
)
from crawlers.sweeps.crawl_store import CrawlStore
from scanner.scanning.scan import LISTINGS_AT_ONCE
from scanner.scanning.scan_store import ScanStore
from scanner.settings import Settings
from scanner.web.auth.access import Scope
from scanner.web.context import AppContext

ROUNDS = 5
LONGEST_S = 300.0
LOAD_S = 20.0
# A scan of the same target again, in a process of its own.
RESCAN = """
import sys
from pathlib import Path
from benchmarks.retrosearch import Silent
from benchmarks.scale_home import TARGET, listing_of
from scanner.factories import open_scan_session
from scanner.scanning.scan import scan_listings
from scanner.settings import Settings
settings = Settings(home=Path(sys.argv[1]), face_pack="miniature", device="cpu")
listings = map(listing_of, range(int(sys.argv[2])))
with open_scan_session(settings) as session:
    result = scan_listings(session, TARGET, listings, Silent())
assert result.totals.drawn_files == 0, result.totals
"""
COMMANDS = {
    "cases": ["cases"],
    "cases --status draft": ["cases", "--status", "draft"],
    "cases --identity": ["cases", "--identity", name_of_person(3)],
    "identities": ["identities"],
    "listings": ["listings"],
    "listings, likeness first": ["listings", "--sort", "likeness"],
    "listings, by words": ["listings", "--search", "retro film"],
    "listings, changes": ["listings", "--events"],
    "notice list": ["notice", "list"],
    "captures list": ["captures", "list"],
    "captures list, by words": ["captures", "list", "--find", "seller3"],
    "audit show": ["audit", "show"],
    "held list": ["held", "list"],
    "vault status": ["vault", "status"],
    "summary of one person": ["summary", "--identity", name_of_person(3)],
    "summary": ["summary"],
    "transparency": ["transparency"],
    "export": ["export", "{folder}/verdicts.csv"],
}
PAGES = {
    "/cases": DESK,
    "/cases?status=all": DESK,
    "/cases?status=all&q=retro": DESK,
    "/cases?status=confirmed&hub=civitai": DESK,
    "/cases/{case_id}": DESK,
    "/notices": DESK,
    "/captures": DESK,
    "/captures?find=seller3": DESK,
    "/captures/{capture_id}": DESK,
    "/scans": DESK,
    "/scans/{job_id}": DESK,
    "/held": DESK,
    "/registrations": DESK,
    "/registrations?q=0003": DESK,
    "/accounts": ADMIN,
    "/audit": ADMIN,
    "/transparency": ADMIN,
    "/likeness (one person)": HOLDER,
    "/likeness/{identity_id}": HOLDER,
    "/likeness (50 people)": AGENT,
}
ROUTES = (
    "/api/v1/cases",
    "/api/v1/cases?status=confirmed",
    "/api/v1/scans",
    "/api/v1/scans/{job_id}",
    "/api/v1/verdicts/{sha256}",
    "/api/v1/transparency/2026-11",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement.

    Attributes:
        size_bytes: of what was printed or answered.
        memory_mb: peak of the process; None for pages, which share one.
    """

    seconds: float
    size_bytes: int
    memory_mb: float | None = None
    problem: str = ""


Measurements = dict[str, Measured]


def run_command(settings: Settings, words: list[str]) -> Measured:
    """Run a command of the program."""
    return run([sys.executable, "-m", "scanner.cli.app", "--home", str(settings.home), *words])


def list_new(items: int) -> Measurements:
    """Store the listings of a target that was never scanned, in a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = ScanStore(Path(folder) / "scans.db")
        scan = store.begin("scan", TARGET, "key", 0, datetime.now(UTC))
        started, listings = time.perf_counter(), map(listing_of, range(items))
        while part := list(islice(listings, LISTINGS_AT_ONCE)):
            store.items.add(scan, part)
        seconds = time.perf_counter() - started
        store.close()
    return {"listing of a new target": Measured(seconds, 0)}


def sweep_again(settings: Settings, items: int) -> Measurements:
    """Store what a hub lists once more; nothing of it has changed."""
    started = time.perf_counter()
    with closing(CrawlStore(settings.crawl_path)) as crawl:
        crawl_listings(crawl, items, sweep_id=2)
    return {
        "sweep with nothing new, without the network": Measured(time.perf_counter() - started, 0)
    }


def rescan(settings: Settings, items: int) -> Measurements:
    """Scan a target again in which every file is known."""
    command = [sys.executable, "-c", RESCAN, str(settings.home), str(items)]
    before = (settings.home / "scans.db").stat().st_size
    found = run(command)
    grown = (settings.home / "scans.db").stat().st_size / before - 1
    print(f"  scanned again: {1e3 * found.seconds / items:.2f} ms a file, {grown:.1%} larger")
    return {"scan of a known target": found}


def run(command: list[str]) -> Measured:
    """Run a command in a process of its own."""
    environment = {**os.environ, "PORTRAIT_SCANNER_FACE_PACK": "miniature"}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        memory = 0.0
        while process.poll() is None:
            # The peak that the kernel reports at the end counts this process, which was forked.
            memory = max(memory, memory_mb(process.pid, "VmHWM"))
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        size = os.fstat(out.fileno()).st_size
        problem = ""
        if process.returncode:
            out.seek(0)
            last = out.read()[-200:].decode(errors="replace").strip()
            problem = f"exit code {process.returncode}: {last}"
    return Measured(seconds, size, memory, problem)


def commands(settings: Settings, folder: Path) -> Measurements:
    return {
        name: run_command(settings, [word.format(folder=folder) for word in words])
        for name, words in COMMANDS.items()
    }


@dataclass(frozen=True, slots=True)
class Access:
    """Cookies by e-mail address, a token, and the values that stand in addresses."""

    cookies: dict[str, str]
    token: str
    values: dict[str, str]


def access_to(settings: Settings) -> Access:
    """Sign the accounts of a home in."""
    app = AppContext(settings)
    accounts = {account.email: account for account in app.accounts.page()}
    cookies = {
        email: app.sessions.begin(account, second_factor=True)
        for email, account in accounts.items()
    }
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    token = app.tokens.issue(accounts[DESK], "bench", list(Scope), tomorrow)
    [job] = app.jobs.newest(limit=1)
    with app.services.acquire("benchmark") as service:
        case = service.case_store.case(service.case_store.case_ids()[0])
    values = {
        "case_id": case.case_id,
        "job_id": job.job_id,
        "capture_id": capture_id_of(3),
        "sha256": case.checkpoint.sha256,
        "identity_id": next(iter(app.accounts.identities_of(accounts[HOLDER].account_id))),
    }
    app.close()
    return Access(cookies, token, values)


def answers(settings: Settings, items: int) -> Measurements:
    """Ask a server for pages and routes of the API, and then for known hashes all the time."""
    # By default a token may ask 100 times a second; the first questions would be too many.
    os.environ["PORTRAIT_SCANNER_WEB__REQUESTS_PER_MINUTE"] = "60000"
    access, port = access_to(settings), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "scanner.cli.app", "serve", "--port", str(port)]
    found: Measurements = {}
    with running(command, f"{url}/readyz", settings.home):
        for page, email in PAGES.items():
            headers = {"Cookie": f"session={access.cookies[email]}"}
            found[page] = median_answer(url + page.partition(" ")[0], access, headers)
        bearer = {"Authorization": f"Bearer {access.token}"}
        for route in ROUTES:
            found[route] = median_answer(url + route, access, bearer)
        print("  known hashes, 100 requests a second      p50 ms   p95 ms   p99 ms")
        print_phase("", asyncio.run(load(url, bearer, sha256_of, items, LOAD_S)))
    return found


def median_answer(address: str, access: Access, headers: dict[str, str]) -> Measured:
    """Ask five times; a page that needs more than half a minute is asked once."""
    seconds: list[float] = []
    size, problem = 0, ""
    with httpx.Client(headers=headers, timeout=LONGEST_S) as client:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            try:
                answer = client.get(address.format(**access.values))
            except httpx.TimeoutException:
                return Measured(LONGEST_S, 0, problem="no answer")
            seconds.append(time.perf_counter() - started)
            size = len(answer.content)
            problem = "" if answer.status_code == 200 else f"status {answer.status_code}"
            if seconds[-1] > LONGEST_S / 10:
                break
    return Measured(statistics.median(seconds), size, problem=problem)


def size_of(settings: Settings) -> str:
    sizes = {
        path.name: sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 1e6
        for path in sorted(settings.home.rglob("*.db"))
    }
    return ", ".join(f"{name} {size:,.0f} MB" for name, size in sizes.items())


@contextmanager
def homes(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def fill_in_memory(settings: Settings, sizes: Sizes) -> None:
    """Fill a home in main memory and move it to its place: each case would wait for the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        home = Path(folder) / settings.home.name
        fill(settings.model_copy(update={"home": home}), sizes)
        shutil.copytree(home, settings.home)


def measure(folder: Path, number: int, most_cases: int) -> Measurements:
    """Fill a home, unless an earlier run did, and measure everything in it."""
    sizes = Sizes.of(number, most_cases)
    settings = Settings(home=folder / f"home-{number}", face_pack="miniature", device="cpu")
    print(f"{sizes.cases:,} cases, {sizes.items:,} files, {sizes.people:,} people", flush=True)
    if not settings.web_path.exists():
        fill_in_memory(settings, sizes)
    print(f"  {size_of(settings)}", flush=True)
    steps: list[Callable[[], Measurements]] = [
        lambda: commands(settings, folder),
        lambda: answers(settings, sizes.items),
        lambda: list_new(sizes.items),
        lambda: rescan(settings, sizes.items),
        lambda: sweep_again(settings, sizes.items),
    ]
    return {name: one for step in steps for name, one in step().items()}


def print_table(found: dict[int, Measurements]) -> None:
    *smaller, largest = found
    before = smaller[-1] if smaller else None
    titles = "".join(f"{f'{number:,}':>12}" for number in found)
    print(f"\n{'':44}{titles}  exponent      kB  MB memory")
    for name in found[largest]:
        seconds = "".join(f"{found[number][name].seconds:>10.3f} s" for number in found)
        one = found[largest][name]
        exponent = ""
        if before is not None:
            growth = one.seconds / found[before][name].seconds
            exponent = f"{math.log(growth) / math.log(largest / before):.2f}"
        memory = "" if one.memory_mb is None else f"{one.memory_mb:,.0f}"
        print(
            f"{name:44}{seconds}{exponent:>10}{one.size_bytes / 1e3:>8,.0f}{memory:>11}"
            f"  {one.problem}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--cases", type=int, default=100_000, help="at most so many cases")
    parser.add_argument("--keep", type=Path, help="a folder in which the homes stay")
    options = parser.parse_args()
    with homes(options.keep) as folder:
        sizes = sorted(options.sizes)
        print_table({number: measure(folder, number, options.cases) for number in sizes})


if __name__ == "__main__":
    main()
