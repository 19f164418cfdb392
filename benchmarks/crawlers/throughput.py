"""Listings per second of a sweep and of a plain httpx loop, and memory over 100,000 listings.

    python -m benchmarks.crawlers.throughput [ROUNDS]

Neither side pauses between requests. The plain loop follows the hub's own cursor with one
httpx.Client and writes each page's listings and raw responses into SQLite with sqlite-utils; a
second plain loop stores nothing. Hubs answer after 0 to 300 ms; the delays of real hubs were not
measured, because none was reachable.
"""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlite_utils import Database

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.huggingface import HuggingFaceHub
from crawlers.listing import Hub
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import sweep

WORKERS = 16


@contextmanager
def hub_process(kind: str, count: int, delay_ms: int) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.crawlers.fast_hubs",
        kind,
        str(count),
        str(delay_ms),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def ours(kind: str, url: str) -> float:
    transport = Transport(destinations=Destinations({"127.0.0.1"}))
    hub: Hub = CivitaiHub(transport, url) if kind == "civitai" else HuggingFaceHub(transport, url)
    with tempfile.TemporaryDirectory() as folder:
        store = CrawlStore(Path(folder, "crawl.db"))
        started = time.perf_counter()
        for step in sweep(hub, "hub", store, lambda: datetime.now(UTC), workers=WORKERS):
            last = step
        took = time.perf_counter() - started
        store.close()
    transport.close()
    return last.listings / took


def plain(kind: str, url: str, *, keep: bool) -> float:
    count, started = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, httpx.Client(timeout=30) as client:
        table = Database(Path(folder, "plain.db")).table("listings")
        for page in (
            plain_civitai(client, url) if kind == "civitai" else plain_huggingface(client, url)
        ):
            count += len(page)
            if keep:
                rows = [
                    {"id": str(one["id"]), "seen": time.time(), "raw": json.dumps(one)}
                    for one in page
                ]
                table.insert_all(rows, pk="id", replace=True)
        took = time.perf_counter() - started
        table.db.close()
    return count / took


def plain_civitai(client: httpx.Client, url: str) -> Iterator[list[dict]]:
    parameters: dict[str, object] = {
        "types": ["LORA"],
        "nsfw": "true",
        "sort": "Oldest",
        "limit": 100,
    }
    while True:
        document = client.get(f"{url}/api/v1/models", params=parameters).json()
        yield [
            {**version, "model": model}
            for model in document["items"]
            for version in model["modelVersions"]
        ]
        if not (cursor := document["metadata"].get("nextCursor")):
            return
        parameters["cursor"] = cursor


def plain_huggingface(client: httpx.Client, url: str) -> Iterator[list[dict]]:
    place: str | None = f"{url}/api/models?filter=lora&full=true&limit=100"
    while place:
        response = client.get(place)
        yield [
            client.get(f"{url}/api/models/{one['id']}?blobs=true").json() for one in response.json()
        ]
        following = re.search(r"<https://x([^>]+)>", response.headers.get("link", ""))
        place = url + following[1] if following else None


def compare(kind: str, count: int, delay_ms: int, rounds: int) -> None:
    with hub_process(kind, count, delay_ms) as url:
        figures: dict[str, list[float]] = {"ours": [], "plain, kept": [], "plain, nothing kept": []}
        for _ in range(rounds):
            figures["ours"].append(ours(kind, url))
            figures["plain, kept"].append(plain(kind, url, keep=True))
            figures["plain, nothing kept"].append(plain(kind, url, keep=False))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratios = [a / b for a, b in zip(figures["ours"], figures["plain, kept"], strict=True)]
    print(
        f"{kind}, {count:,} listings, {delay_ms} ms: "
        + ", ".join(f"{name} {value:,.0f}/s" for name, value in medians.items())
        + f"; ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}),"
        f" to nothing kept {medians['ours'] / medians['plain, nothing kept']:.1f}",
        flush=True,
    )


def memory() -> None:
    """Peak memory of a sweep of 100,000 listings, sampled while it runs."""
    transport = Transport(destinations=Destinations({"127.0.0.1"}))
    marks = iter([1_000, 10_000, 25_000, 50_000, 75_000, 100_000])
    mark, told = next(marks), []
    with hub_process("civitai", 100_000, 0) as url, tempfile.TemporaryDirectory() as folder:
        store = CrawlStore(Path(folder, "crawl.db"))
        started = time.perf_counter()
        for step in sweep(
            CivitaiHub(transport, url), "hub", store, lambda: datetime.now(UTC), workers=WORKERS
        ):
            while mark is not None and step.listings >= mark:
                told.append((mark, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
                mark = next(marks, None)
        took = time.perf_counter() - started
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        store.close()
    peaks = ", ".join(f"{count:,}: {peak:.0f} MiB" for count, peak in told)
    print(
        f"memory, peak after so many listings: {peaks}; {100_000 / took:,.0f}/s, "
        f"crawl.db {size:.0f} MB"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for delay_ms, count in ((0, 20_000), (25, 20_000), (100, 20_000), (300, 20_000)):
        compare("civitai", count, delay_ms, rounds)
    for delay_ms, count in ((0, 500), (25, 500), (100, 300)):
        compare("huggingface", count, delay_ms, max(1, rounds - 2))
    memory()


if __name__ == "__main__":
    main()
