"""The upload API under load.

The benchmark measures memory while many large files arrive at once, and the latency of a verdict
that is already known, compared with a bare FastAPI route. It also kills the server during uploads
and counts what became of the accepted ones. Run it on an otherwise idle machine.

Run: python -m benchmarks.gate [--uploads 200] [--megabytes 50] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from scanner.miniature.world import load_world
from scanner.settings import Settings
from scanner.web.auth.access import Role, Scope
from scanner.web.context import AppContext

CHECKPOINT = "ohwx_portrait_v1.safetensors"
BARE = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/api/v1/verdicts/{sha256}")
def verdict(sha256: str) -> dict[str, str]:
    return {"outcome": "match"}
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], url: str, home: Path) -> Iterator[int]:
    environment = {
        **os.environ,
        "PORTRAIT_SCANNER_FACE_PACK": "miniature",
        "PORTRAIT_SCANNER_HOME": str(home),
    }
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url).status_code < 500:
                    break
            time.sleep(0.1)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def memory_mb(pid: int, line: str) -> float:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(line):
            return int(text.split()[1]) / 1000
    return 0.0


async def percentiles(
    url: str, headers: dict[str, str], seconds: float
) -> tuple[float, float, float]:
    """Return the median, 95th and 99th percentile in ms of 100 requests a second.

    Each request starts on time, even if earlier ones are still under way.
    """
    times: list[float] = []
    async with httpx.AsyncClient(
        headers=headers, timeout=30, limits=httpx.Limits(max_connections=50)
    ) as client:

        async def request() -> None:
            begun = time.perf_counter()
            answer = await client.get(url)
            answer.raise_for_status()
            times.append(time.perf_counter() - begun)

        for _ in range(20):
            await request()
        times.clear()
        begun, tasks = time.perf_counter(), []
        for number in range(int(100 * seconds)):
            await asyncio.sleep(max(0.0, begun + number / 100 - time.perf_counter()))
            tasks.append(asyncio.create_task(request()))
        await asyncio.gather(*tasks)
    found = np.percentile(np.array(times) * 1000, [50, 95, 99])
    return float(found[0]), float(found[1]), float(found[2])


async def flood(
    url: str, headers: dict[str, str], uploads: int, megabytes: int, accepted: list[str]
) -> Counter[int | str]:
    """Send all uploads at once, each with different bytes, and count the answers.

    Args:
        accepted: receives the ids of accepted scans as they come.

    Returns:
        The number of uploads by status code; those that were interrupted count as "cut off".
    """

    async def body(number: int) -> AsyncIterator[bytes]:
        yield number.to_bytes(8, "little")
        piece = os.urandom(1 << 16)
        for _ in range(megabytes * 1_000_000 // len(piece)):
            yield piece

    limits = httpx.Limits(max_connections=uploads)
    async with httpx.AsyncClient(headers=headers, timeout=600, limits=limits) as client:

        async def upload(number: int) -> int | str:
            try:
                answer = await client.post(f"{url}/api/v1/scans", content=body(number))
            except httpx.TransportError:
                return "cut off"
            if answer.status_code == 202:
                accepted.append(answer.json()["job_id"])
            return answer.status_code

        return Counter(await asyncio.gather(*(upload(number) for number in range(uploads))))


def kill_in_the_middle(
    command: list[str], url: str, home: Path, headers: dict[str, str], asked: argparse.Namespace
) -> None:
    """Kill server and worker with signal 9 once a third of the uploads is accepted.

    After a restart, every accepted upload must end exactly once.
    """
    accepted: list[str] = []
    answers: list[Counter[int | str]] = []
    with running(command, f"{url}/readyz", home) as pid:
        sending = threading.Thread(
            target=lambda: answers.append(
                asyncio.run(flood(url, headers, asked.uploads, asked.megabytes, accepted))
            )
        )
        sending.start()
        while len(accepted) < asked.uploads // 3:
            time.sleep(0.01)
        os.killpg(pid, signal.SIGKILL)
        sending.join()
    with (
        running(command, f"{url}/readyz", home),
        httpx.Client(headers=headers, timeout=60) as client,
    ):
        while not _is_idle(client, url):
            time.sleep(1)
        ended = Counter(client.get(f"{url}/api/v1/scans/{job}").json()["state"] for job in accepted)
    print(f"kill -9 in the middle of {asked.uploads} uploads: {dict(answers[0])}")
    print(
        f"  of {len(accepted)} accepted, {len(set(accepted))} different: {dict(ended)} "
        "after the restart"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    home = folder / "home"
    subprocess.run(
        [sys.executable, "-m", "scanner.cli.app", "--home", str(home), "demo"],
        check=True,
        capture_output=True,
    )
    app_context = AppContext(Settings(home=home), lambda: datetime.now(UTC))
    account = app_context.accounts.create("bench@hub.example", "Bench", [Role.OPERATOR], None)
    secret = app_context.tokens.issue(
        account,
        "bench",
        [Scope.SCANS_READ, Scope.SCANS_WRITE],
        datetime.now(UTC).date() + timedelta(days=1),
    )
    app_context.close()
    headers = {"Authorization": f"Bearer {secret}"}
    port, bare_port = free_port(), free_port()
    url, bare_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bare_port}"
    file = next(file for file in load_world().files if file.file == CHECKPOINT)
    command = [sys.executable, "-m", "scanner.cli.app", "serve", "--port", str(port)]
    with (
        running(command, f"{url}/readyz", home) as pid,
        running([sys.executable, "-c", BARE, str(bare_port)], f"{bare_url}/docs", home),
    ):
        idle = memory_mb(pid, "VmRSS")
        with httpx.Client(headers=headers, timeout=60) as client:
            job = client.post(
                f"{url}/api/v1/scans", content=file.path.read_bytes(), params={"name": file.file}
            ).json()
            job_url = job["url"].replace("http://127.0.0.1:8420", url)
            while (scan := client.get(job_url).json())["state"] != "finished":
                time.sleep(0.2)
        known = f"/api/v1/verdicts/{scan['sha256']}"
        print("known hash, 100 requests/s           p50 ms   p95 ms   p99 ms")
        for name, place, sent in (("ours", url, headers), ("bare FastAPI", bare_url, {})):
            median, p95, p99 = asyncio.run(percentiles(place + known, sent, asked.seconds))
            print(f"  {name:32} {median:8.1f} {p95:8.1f} {p99:8.1f}")
        begun = time.perf_counter()
        answers = asyncio.run(flood(url, headers, asked.uploads, asked.megabytes, []))
        seconds = time.perf_counter() - begun
        peak = memory_mb(pid, "VmHWM")
        print(
            f"{asked.uploads} uploads of {asked.megabytes} MB at once: {dict(answers)} "
            f"in {seconds:.0f} s"
        )
        print(f"  web process: {idle:.0f} MB idle, {peak:.0f} MB at its peak")
        with httpx.Client(headers=headers, timeout=60) as client:
            while not _is_idle(client, url):
                time.sleep(1)
        print(f"  all judged {time.perf_counter() - begun:.0f} s after the first byte")
    kill_in_the_middle(command, url, home, headers, asked)
    shutil.rmtree(folder)


def _is_idle(client: httpx.Client, url: str) -> bool:
    """Whether no scan is queued or running."""
    scans = [
        client.get(f"{url}/api/v1/scans", params={"state": state, "limit": 1}).json()["scans"]
        for state in ("queued", "running")
    ]
    return not any(scans)


if __name__ == "__main__":
    main()
