"""FNIR at the same FPIR of three kinds of templates: one photo, the plain mean, make_prototypes.

    python -m benchmarks.face_index.templates

Each person has ten drawn photos: six for the template and four for the probe (their mean). "poor"
photos are blurred, small, dark or partly covered. In "two looks" half of the photos show the person
with dark glasses and a full beard, and probes show both appearances or one. The settings were
chosen on persons 0 to 2,999; persons 3,000 to 5,999 were not used before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from face_index.faces.face import Face, Prototypes
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.metrics import rate
from face_index.gallery.templates import make_prototypes, plain_mean
from scanner.miniature.persons import CALIBRATION_SEEDS, Person, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

FOLDER = Path(".training/population")
PERSONS = 3_000
ENROLMENT, PROBE = 6, 4
SPLITS = {
    "development": CALIBRATION_SEEDS[50_000:53_000],
    "fresh": CALIBRATION_SEEDS[53_000:56_000],
}
FPIRS = (0.01, 0.001)


def poor(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photo as a bad phone would have taken it, or with a hand before the face."""
    height, width = pixels.shape[:2]
    kind = rng.integers(0, 5)
    if kind == 0:
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(1.0, 2.5))
    if kind == 1:
        factor = rng.uniform(0.25, 0.5)
        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if kind == 2:
        noisy = pixels * rng.uniform(0.2, 0.5) + rng.normal(0, 14, pixels.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    if kind == 3:
        covered = pixels.copy()
        left, top = int(rng.uniform(0.25, 0.6) * width), int(rng.uniform(0.35, 0.65) * height)
        covered[top : top + height // 5, left : left + width // 5] = rng.integers(0, 255, 3)
        return covered
    return pixels


def other_look(person: Person) -> Person:
    return replace(person, glasses="dark", beard="full")


@dataclass(frozen=True)
class Photos:
    """Return embeddings float32 [persons, photos, d] and norms [persons, photos].

    The norm is 0 where no face was found.
    """

    embeddings: np.ndarray
    norms: np.ndarray

    def faces(self, person: int, photos: range) -> list[Face]:
        return [
            replace(
                _BLANK,
                embedding=self.embeddings[person, photo],
                norm=float(self.norms[person, photo]),
            )
            for photo in photos
            if self.norms[person, photo] > 0
        ]


_BLANK = Face(
    (0, 0, 1, 1),
    np.zeros((5, 2), np.float32),
    1.0,
    0.0,
    0.0,
    0.0,
    1.0,
    128.0,
    0.0,
    np.zeros(128, np.float32),
    1.0,
)
_reader: InsightFaceReader | None = None


def _open_reader() -> None:
    global _reader  # noqa: PLW0603  one reader a process, opened by the pool
    _reader = InsightFaceReader(find_pack("miniature", Path("unused"), {"miniature": FACE_PACK}))
    _reader._threads = 1


def _read(task: tuple[str, range]) -> tuple[np.ndarray, np.ndarray]:
    kind, seeds = task
    assert _reader is not None
    images = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for photo in range(ENROLMENT + PROBE):
            person = person_of(seed)
            if kind == "two looks" and photo % 2:
                person = other_look(person)
            pixels = draw_photo(person, photo).pixels
            images.append(poor(pixels, rng) if kind == "poor" else pixels)
    embeddings = np.zeros((len(images), 128), np.float32)
    norms = np.zeros(len(images), np.float32)
    for row, faces in enumerate(_reader.read(images)):
        if faces:
            embeddings[row], norms[row] = faces[0].embedding, faces[0].norm
    return embeddings.reshape(len(seeds), -1, 128), norms.reshape(len(seeds), -1)


def photos_of(kind: str, split: str) -> Photos:
    """Drawn and read once, then kept in .training/ (git-ignored)."""
    path = FOLDER / f"templates-{kind.replace(' ', '-')}-{split}.npz"
    if not path.exists():
        seeds = SPLITS[split]
        tasks = [(kind, seeds[start : start + 50]) for start in range(0, len(seeds), 50)]
        with ProcessPoolExecutor(os.cpu_count(), initializer=_open_reader) as pool:
            done = list(track(pool.map(_read, tasks), f"{kind}, {split}: reading", len(tasks)))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            embeddings=np.concatenate([one for one, _ in done]),
            norms=np.concatenate([two for _, two in done]),
        )
    with np.load(path) as stored:
        return Photos(stored["embeddings"], stored["norms"])


def single_photo(faces: list[Face]) -> Prototypes:
    return faces[0].embedding[None]


WAYS: dict[str, Callable[[list[Face]], Prototypes]] = {
    "single photo": single_photo,
    "plain mean": plain_mean,
    "ours": make_prototypes,
}


def compare(kind: str, split: str, count: int, probe_photos: range, note: str = "") -> None:
    photos = photos_of(kind, split)
    enrolled, probes = [], []
    for person in range(PERSONS):
        faces = photos.faces(person, range(count))
        probe = photos.faces(person, probe_photos)
        if faces and probe:
            enrolled.append(faces)
            probes.append(np.mean([face.embedding for face in probe], axis=0))
    rows = np.asarray(probes, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    missed: dict[tuple[str, float], np.ndarray] = {}
    for name, way in WAYS.items():
        scores = np.stack([(rows @ way(faces).T).max(axis=1) for faces in enrolled], axis=1)
        genuine = np.diag(scores).copy()
        np.fill_diagonal(scores, -1)
        for fpir in FPIRS:
            threshold = float(np.quantile(scores.max(axis=1), 1 - fpir))
            missed[name, fpir] = genuine < threshold
    cells = []
    for name in WAYS:
        rates = [rate(int(missed[name, fpir].sum()), len(rows)) for fpir in FPIRS]
        cells.append(" / ".join(f"{one.value:.4f}" for one in rates))
    told = []
    for fpir in FPIRS:
        better = int((missed["plain mean", fpir] & ~missed["ours", fpir]).sum())
        worse = int((~missed["plain mean", fpir] & missed["ours", fpir]).sum())
        told.append(f"{better}:{worse}")
    print(
        f"{split:12} {kind + note:26} {count} photos  single {cells[0]}  plain mean {cells[1]}  "
        f"ours {cells[2]}  "
        f"(found only by ours : only by the mean  {' / '.join(told)})"
    )


def main() -> None:
    print(f"FNIR at FPIR {' / '.join(f'{one:.1%}' for one in FPIRS)}, gallery of {PERSONS:,}")
    for split in sys.argv[1:] or SPLITS:
        every = range(ENROLMENT, ENROLMENT + PROBE)
        for kind in ("clean", "poor"):
            for count in (3, 6):
                compare(kind, split, count, every)
        compare("two looks", split, ENROLMENT, every, ", probe of both")
        compare("two looks", split, ENROLMENT, every[::2], ", probe of one")


if __name__ == "__main__":
    main()
