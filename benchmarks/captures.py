"""Speed of searching captures, in images per second, compared with a plain loop.

The plain loop calls FaceAnalysis once for each image. Both are timed in alternating rounds of one
run. The benchmark also prints peak memory and how many accounts have to be searched again after a
kill -9 in the middle.

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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from insightface.app import FaceAnalysis
from PIL import Image

from crawlers.captures.capture_rows import CaptureRow, ImageRow
from crawlers.captures.capture_store import CaptureStore, page_id_of
from crawlers.captures.images.pictures import picture_from
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import PageFacts, PageKind
from crawlers.captures.pages.page import CapturedPage
from scanner.factories import open_capture_search, open_scan_session
from scanner.miniature.albums import FREE_SEEDS
from scanner.miniature.demo import register_world
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

EACH = 20  # images of an account
COPIES = 0.25  # share of images that are compressed again by another program
ROUNDS = 5
PLAIN = 400  # images of a round that the plain loop is timed on


class _Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


def fill(captures: CaptureStore, first: int, end: int) -> list[Path]:
    """Add accounts with pictures of strangers, as the intake stores them.

    Every fourth picture is a copy.

    Returns:
        The paths of all pictures.
    """
    rng = np.random.default_rng(first)
    paths: list[Path] = []
    now = datetime.now(UTC).isoformat()
    for account in range(first, end):
        seed, name = FREE_SEEDS[account % len(FREE_SEEDS)], f"{account:064x}"
        pictures: list[bytes] = []
        for number in range(EACH):
            if pictures and rng.random() < COPIES:
                pictures.append(_again(pictures[int(rng.integers(len(pictures)))]))
            else:
                pictures.append(_png(draw_photo(person_of(seed), number, 256).pixels))
        facts = PageFacts(
            PageKind.ACCOUNT,
            "bench",
            name,
            account_name=f"account {account}",
            account_id=str(account),
        )
        page = CapturedPage(f"https://bench.example/{account}", name, now, None, "", ())
        rows = [
            ImageRow(
                page_id_of(name, 0),
                number,
                captures.keep_image(data),
                None,
                "",
                picture_from(data),
                Provenance(),
                belongs=True,
            )
            for number, data in enumerate(pictures)
        ]
        row = CaptureRow(
            name, f"{account}.warc", "WARC", 0, now, "bench", None, None, (), (), None, 1
        )
        sealed = captures.bag(name) / "data"
        sealed.mkdir(parents=True)
        (sealed / "capture.json").write_text(json.dumps({"sha256": name}))
        captures.add(row, [(page, facts, ())], [rows])
        paths += [captures.image_path(image.sha256) for image in rows]
    return paths


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=1)
    return data.getvalue()


def _again(picture: bytes) -> bytes:
    data = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.convert("RGB").save(data, "JPEG", quality=80)
    return data.getvalue()


class PlainLoop:
    """The obvious loop: open, FaceAnalysis.get, compare with every template."""

    def __init__(self, scan_session: ScanSession) -> None:
        with redirect_stdout(io.StringIO()):
            self._app = FaceAnalysis(
                name=str(scan_session.faces.pack.folder),
                allowed_modules=["detection", "recognition"],
                providers=["CPUExecutionProvider"],
            )
            self._app.prepare(
                ctx_id=0,
                det_thresh=scan_session.faces.pack.bar.min_detector_score,
                det_size=scan_session.faces.pack.detection_size,
            )
        self._templates = np.concatenate(
            [prototypes for _, prototypes in scan_session.take_snapshot().templates]
        )

    def images_a_second(self, paths: list[Path]) -> float:
        begin = time.perf_counter()
        for path in paths:
            with Image.open(path) as opened:
                pixels = np.asarray(opened.convert("RGB"))[..., ::-1]
            for face in self._app.get(np.ascontiguousarray(pixels)):
                (self._templates @ face.normed_embedding).max()
        return len(paths) / (time.perf_counter() - begin)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True, slots=True)
class Round:
    """Images per second of the plain loop, ours with copies, and ours without copies."""

    plain: float
    ours: float
    different: float


def judged(home: Path, count: int) -> Iterator[tuple[Round, float]]:
    """Yield the speeds of each round and the peak memory after it.

    Each round adds new accounts, runs the plain loop on some of their images and ours on all of
    them. Both run in each round, because other work on the machine comes and goes.
    """
    settings = Settings(home=home, face_pack="miniature", device="cpu", searches_per_day=1_000_000)
    scan_session = open_scan_session(settings)
    captures = CaptureStore(scan_session.crawl, settings.captures_path)
    plain, known, each = PlainLoop(scan_session), 0, count // EACH // ROUNDS
    _search(settings, scan_session)  # loads the face pack, as PlainLoop did
    for _ in range(ROUNDS):
        new = fill(captures, known, known + each)
        speed = plain.images_a_second(new[:: max(1, len(new) // PLAIN)])
        begin = time.perf_counter()
        found = _search(settings, scan_session)
        done = sum(verdict.images for verdict in found if not verdict.known)
        seconds = time.perf_counter() - begin
        yield Round(speed, each * EACH / seconds, done / seconds), peak_mb()
        known += each
    scan_session.close()


def _search(settings: Settings, scan_session: ScanSession) -> list[CaptureVerdict]:
    return list(open_capture_search(settings, scan_session).run(lambda _: None, None))


def killed(home: Path) -> dict[str, int]:
    """Kill the command in the middle, run it again and count the accounts that were read again."""
    program = [sys.executable, "-m", "scanner.cli.app", "--home", str(home)]
    command = [*program, "captures", "judge", "--json"]
    environment = {**os.environ, "PORTRAIT_SCANNER_FACE_PACK": "miniature"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    time.sleep(12)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = json.loads(done.stdout)["judged"]
    return {
        "accounts": len(rows),
        "known after the kill": sum(row["known"] for row in rows),
        "told twice": len(rows) - len({row["key"] for row in rows}),
    }


def _line(speeds: Round) -> str:
    plain, ours, different = speeds.plain, speeds.ours, speeds.different
    return (
        f"{plain:10.0f} {ours:6.0f} {different:9.0f} {ours / plain:6.2f} {different / plain:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home, face_pack="miniature", device="cpu")
        scan_session = open_scan_session(settings)
        register_world(scan_session, _Silent())
        shutil.copytree(home, Path(folder) / "copy")
        scan_session.close()
        rounds = []
        print(
            f"{'images a second':>16} {'plain loop':>10} {'ours':>6} {'different':>9} "
            f"{'ratio':>6} {'different':>9}  peak MB"
        )
        for speeds, memory in judged(home, count):
            rounds.append(speeds)
            print(f"{'round ' + str(len(rounds)):>16} {_line(speeds)}  {memory:7,.0f}")
        middle = Round(
            plain=median(speeds.plain for speeds in rounds),
            ours=median(speeds.ours for speeds in rounds),
            different=median(speeds.different for speeds in rounds),
        )
        print(f"{'medians':>16} {_line(middle)}")
        ratio = median(speeds.ours / speeds.plain for speeds in rounds)
        print(f"median of the rounds' ratios: {ratio:.2f}")
        copied = Settings(home=Path(folder) / "copy", face_pack="miniature", device="cpu")
        interrupted = open_scan_session(copied)
        fill(CaptureStore(interrupted.crawl, copied.captures_path), 0, count // EACH)
        interrupted.close()
        print("kill -9 after 12 s, then again:", killed(Path(folder) / "copy"))


if __name__ == "__main__":
    main()
