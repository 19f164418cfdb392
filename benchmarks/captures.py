"""Captured images a second: accounts judged from files, next to a plain loop of one FaceAnalysis call an image.

Prints images a second of both in one run, memory on the way, and what a kill -9 in the middle costs.
Run: python -m benchmarks.captures [--images 10000]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from insightface.app import FaceAnalysis
from PIL import Image

from crawlers.saved.captures import CaptureRow, Captures, ImageRow, page_id_of
from crawlers.saved.facts import PageFacts, PageKind
from crawlers.saved.page import SavedPage
from crawlers.saved.pictures import look_at
from crawlers.saved.provenance import Provenance
from scanner.captures.cases import judge_captures
from scanner.miniature.albums import FREE_SEEDS
from scanner.miniature.demo import register_world
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.settings import Settings
from scanner.workshop import Workshop

EACH = 20  # images of an account
COPIES = 0.25  # of them saved again by somebody else's program
PLAIN = 1_500  # images that the plain loop is timed on


class _Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def fill(captures: Captures, count: int) -> None:
    """Accounts with pictures of strangers, as intake leaves them; every fourth picture is a copy."""
    rng = np.random.default_rng(0)
    now = datetime.now(UTC).isoformat()
    for account in range(count // EACH):
        seed, name = FREE_SEEDS[account % len(FREE_SEEDS)], f"{account:064x}"
        pictures: list[bytes] = []
        for number in range(EACH):
            if pictures and rng.random() < COPIES:
                pictures.append(_again(pictures[int(rng.integers(len(pictures)))]))
            else:
                pictures.append(_png(draw_photo(person_of(seed), number, 256).pixels))
        facts = PageFacts(PageKind.ACCOUNT, "bench", name, account_name=f"account {account}", account_id=str(account))
        page = SavedPage(f"https://bench.example/{account}", name, now, None, "", ())
        rows = [
            ImageRow(page_id_of(name, 0), number, captures.keep_image(data), None, "", look_at(data), Provenance(), belongs=True)
            for number, data in enumerate(pictures)
        ]  # fmt: skip
        row = CaptureRow(name, f"{account}.warc", "WARC", 0, now, "bench", None, None, (), (), None, 1)
        sealed = captures.bag(name) / "data"
        sealed.mkdir(parents=True)
        (sealed / "capture.json").write_text(json.dumps({"sha256": name}))
        captures.add(row, [(page, facts, ())], [rows])


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=1)
    return data.getvalue()


def _again(picture: bytes) -> bytes:
    data = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.convert("RGB").save(data, "JPEG", quality=80)
    return data.getvalue()


def plain_loop(workshop: Workshop, paths: list[Path]) -> float:
    """Images a second of the loop that anybody would write: open, FaceAnalysis.get, compare with every template."""
    with redirect_stdout(io.StringIO()):
        app = FaceAnalysis(
            name=str(workshop.pack.folder),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
        )
        app.prepare(ctx_id=0, det_thresh=workshop.pack.bar.min_detector_score, det_size=workshop.pack.detection_size)
    templates = np.concatenate([prototypes for _, prototypes in workshop.templates()])
    begin = time.perf_counter()
    for path in paths:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB"))[..., ::-1]
        for face in app.get(np.ascontiguousarray(pixels)):
            (templates @ face.normed_embedding).max()
    return len(paths) / (time.perf_counter() - begin)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def judged(home: Path, count: int) -> Iterator[tuple[str, float]]:
    workshop = Workshop(Settings(home=home, face_pack="miniature", device="cpu"))
    captures = Captures(workshop.crawl, workshop.settings.captures_path)
    paths = [captures.image_path(image.sha256) for page in captures.pages() for image in captures.images(page.page_id)]
    yield "plain loop, images a second", plain_loop(workshop, paths[:: max(1, count // PLAIN)])
    begin, done, quarter = time.perf_counter(), 0, 0.0
    for one in judge_captures(workshop, captures):
        done += one.images
        if not quarter and done > count / 8:
            quarter = peak_mb()
    seconds = time.perf_counter() - begin
    yield "ours, images a second (copies counted: they are answered for)", count / seconds
    yield "ours, different images a second", done / seconds
    yield "peak memory after an eighth, MB", quarter
    yield "peak memory at the end, MB", peak_mb()
    workshop.close()


def killed(home: Path) -> dict[str, int]:
    """Kill the command in the middle, run it again; how many accounts had to be read again."""
    command = [sys.executable, "-m", "scanner.cli.app", "--home", str(home), "captures", "judge", "--json"]
    environment = {**os.environ, "PORTRAIT_SCANNER_FACE_PACK": "miniature"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    time.sleep(12)
    process.send_signal(signal.SIGKILL)
    process.wait()
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    rows = json.loads(told)["judged"]
    return {
        "accounts": len(rows),
        "known after the kill": sum(one["known"] for one in rows),
        "told twice": len(rows) - len({one["key"] for one in rows}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home, face_pack="miniature", device="cpu")
        workshop = Workshop(settings)
        register_world(workshop, _Silent())
        fill(Captures(workshop.crawl, settings.captures_path), count)
        workshop.close()
        shutil.copytree(home, Path(folder) / "copy")
        figures = dict(judged(home, count))
        for name, value in figures.items():
            print(f"{name}: {value:,.0f}")
        rates = [value for name, value in figures.items() if "images a second" in name]
        print(f"ratio, ours to plain: {rates[1] / rates[0]:.2f} (only different images: {rates[2] / rates[0]:.2f})")
        print("kill -9 after 12 s, then again:", killed(Path(folder) / "copy"))


if __name__ == "__main__":
    main()
