"""The gate's known-hash answers while somebody registers, over many drawn files.

Miniature adapters are drawn once and copied under new hashes (benchmarks.retrosearch). A server
answers 100 requests a second for the verdicts of these files, and meanwhile one person more
registers. The benchmark prints after how many seconds all answers are 200 again, and the latency
before, during and after, beside that of a bare FastAPI route.

Run: python -m benchmarks.gate_retrosearch [--files 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from benchmarks.gate import BARE, free_port, running
from benchmarks.retrosearch import (
    REGISTERED,
    Silent,
    copy,
    draw,
    hash_of_copy,
    listing_of_copy,
    register,
)
from scanner.factories import open_scan_session
from scanner.miniature.albums import FREE_SEEDS
from scanner.scanning.retrosearch import retrosearch
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.auth.access import Role, Scope
from scanner.web.context import AppContext

RATE = 100
BEFORE_S, AFTER_S = 10.0, 90.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: seconds since the first one, its latency and the status of the answer."""

    at_s: float
    seconds: float
    status: int


async def load(
    url: str, headers: dict[str, str], hash_of: Callable[[int], str], files: int, seconds: float
) -> list[Answered]:
    """Ask for the verdicts of files at a constant rate; each request starts on time."""
    answers: list[Answered] = []
    limits = httpx.Limits(max_connections=100)
    begun = time.perf_counter()
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as client:

        async def request(number: int) -> None:
            started = time.perf_counter()
            place = f"{url}/api/v1/verdicts/{hash_of(number * 97 % files)}"
            answer = await client.get(place)
            ended = time.perf_counter()
            answers.append(Answered(started - begun, ended - started, answer.status_code))

        tasks = []
        for number in range(int(RATE * seconds)):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(request(number)))
        await asyncio.gather(*tasks)
    return answers


def publish(session: ScanSession, files: int) -> None:
    """List the copies in crawl.db, so that every account may ask about them."""
    now = session.clock()
    with session.crawl.transaction():
        for start in range(0, files, 500):
            part = range(start, min(files, start + 500))
            session.crawl.see([listing_of_copy(number) for number in part], "", 0, now)


def print_phase(title: str, answers: list[Answered]) -> None:
    if not answers:
        return
    found = np.percentile([one.seconds * 1000 for one in answers], [50, 95, 99])
    statuses = {
        status: sum(one.status == status for one in answers)
        for status in sorted({one.status for one in answers})
    }
    print(f"  {title:32} {found[0]:8.1f} {found[1]:8.1f} {found[2]:8.1f}   {statuses}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    home, uploads = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    settings = Settings(home=home, face_pack="miniature", device="cpu")
    seeds = iter(FREE_SEEDS)
    with open_scan_session(settings) as session:
        register(session, [next(seeds) for _ in range(REGISTERED)])
        shown, others, _ = draw(session, uploads)
        copy(session, shown, others, 0, files)
        publish(session, files)
        retrosearch(session, Silent())
    app_context = AppContext(settings, lambda: datetime.now(UTC))
    account = app_context.accounts.create("bench@hub.example", "Bench", [Role.OPERATOR], None)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    secret = app_context.tokens.issue(account, "bench", [Scope.SCANS_READ], tomorrow)
    app_context.close()
    # By default a token may ask 100 times a second; the first questions would be too many.
    os.environ["PORTRAIT_SCANNER_WEB__REQUESTS_PER_MINUTE"] = "60000"
    port, bare_port = free_port(), free_port()
    url, bare = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bare_port}"
    headers = {"Authorization": f"Bearer {secret}"}
    serve = [sys.executable, "-m", "scanner.cli.app", "serve", "--port", str(port)]
    with running(serve, f"{url}/readyz", home):
        known = f"{url}/api/v1/verdicts/{hash_of_copy(0)}"
        while httpx.get(known, headers=headers).status_code != 200:
            time.sleep(0.2)
        enrolled_at: list[float] = []
        begun = time.perf_counter()

        def enrol() -> None:
            time.sleep(BEFORE_S)
            with open_scan_session(settings) as session:
                register(session, [next(seeds)])
            enrolled_at.append(time.perf_counter() - begun)

        thread = threading.Thread(target=enrol)
        thread.start()
        answers = asyncio.run(load(url, headers, hash_of_copy, files, BEFORE_S + AFTER_S))
        thread.join()
    with running([sys.executable, "-c", BARE, str(bare_port)], f"{bare}/docs", home):
        plain = asyncio.run(load(bare, {}, hash_of_copy, files, BEFORE_S))
    [enrolled] = enrolled_at
    last = max((one.at_s + one.seconds for one in answers if one.status != 200), default=enrolled)
    print(f"{files:,} known files: 200 again {last - enrolled:.1f} s after the enrolment")
    print("known hash, 100 requests/s           p50 ms   p95 ms   p99 ms")
    print_phase("before", [one for one in answers if one.at_s < BEFORE_S])
    print_phase("enrolment and search", [one for one in answers if BEFORE_S <= one.at_s <= last])
    print_phase("after", [one for one in answers if one.at_s > last])
    print_phase("throughout", answers)
    print_phase("bare FastAPI", plain)
    shutil.rmtree(home)
    shutil.rmtree(uploads)


if __name__ == "__main__":
    main()
