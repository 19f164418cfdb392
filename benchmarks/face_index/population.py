"""Embeddings of many drawn persons, read once and kept in .training/ (git-ignored).

    python -m benchmarks.face_index.population

Every photo is drawn, detected, aligned and embedded by the miniature pack. None of these persons
was used to train the pack (scanner.miniature.persons.CALIBRATION_SEEDS), and no person is in two
sets.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from scanner.miniature.persons import CALIBRATION_SEEDS, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

FOLDER = Path(".training/population")
# The shipped calibration used the first 1,200 seeds; these start after them.
SETS = {
    "calibration": (CALIBRATION_SEEDS[2_000:10_000], 6),
    "more_calibration": (CALIBRATION_SEEDS[50_000:62_000], 6),
    "gallery": (CALIBRATION_SEEDS[10_000:20_000], 4),
    "probes": (CALIBRATION_SEEDS[20_000:50_000], 2),
    "fresh_gallery": (CALIBRATION_SEEDS[62_000:72_000], 3),
    "fresh_probes": (CALIBRATION_SEEDS[72_000:95_000], 2),
}
_PERSONS_A_TASK = 50


@dataclass(frozen=True, slots=True)
class Population:
    """Embeddings of one set.

    Attributes:
        embeddings: float32 [persons, photos, d], unit vectors; zeros where no face was found.
        norms: float32 [persons, photos], before normalising.
        sharpness: float32 [persons, photos].
        pack_sha256: the networks.
    """

    embeddings: npt.NDArray[np.float32]
    norms: npt.NDArray[np.float32]
    sharpness: npt.NDArray[np.float32]
    pack_sha256: str

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        return self.norms > 0


def load_population(name: str) -> Population:
    """The set of that name, drawn and read now if it is not there."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        _make(name, path)
    with np.load(path) as stored:
        return Population(
            stored["embeddings"], stored["norms"], stored["sharpness"], str(stored["pack_sha256"])
        )


_reader: InsightFaceReader | None = None


def _open_reader() -> None:
    global _reader  # noqa: PLW0603  one reader a process, opened by the pool
    _reader = InsightFaceReader(find_pack("miniature", Path("unused"), {"miniature": FACE_PACK}))
    _reader._threads = 1


def _read_persons(
    task: tuple[range, int],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    seeds, photos = task
    assert _reader is not None
    pixels = [
        draw_photo(person_of(seed), photo).pixels for seed in seeds for photo in range(photos)
    ]
    embeddings = np.zeros((len(pixels), _reader.version.dimension), np.float32)
    measures = np.zeros((len(pixels), 2), np.float32)
    for row, faces in enumerate(_reader.read(pixels)):
        if faces:
            embeddings[row] = faces[0].embedding
            measures[row] = faces[0].norm, faces[0].sharpness
    return embeddings.reshape(len(seeds), photos, -1), measures.reshape(len(seeds), photos, 2)


def _make(name: str, path: Path) -> None:
    seeds, photos = SETS[name]
    tasks = [
        (seeds[start : start + _PERSONS_A_TASK], photos)
        for start in range(0, len(seeds), _PERSONS_A_TASK)
    ]
    with ProcessPoolExecutor(os.cpu_count(), initializer=_open_reader) as pool:
        done = list(track(pool.map(_read_persons, tasks), f"{name}: reading", len(tasks)))
    embeddings, measures = (np.concatenate(parts) for parts in zip(*done, strict=True))
    version = InsightFaceReader(
        find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})
    ).version
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{name}.part.npz")
    np.savez(
        partial,
        embeddings=embeddings,
        norms=measures[..., 0],
        sharpness=measures[..., 1],
        pack_sha256=version.sha256,
    )
    partial.replace(path)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SETS:
        population = load_population(wanted)
        print(
            f"{wanted}: {len(population.norms):,} persons, {1 - population.found.mean():.3%} of "
            "photos without a face"
        )
