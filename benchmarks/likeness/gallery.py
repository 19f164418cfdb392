"""Galleries of drawn people, kept in .bench/: registered people, and thousands of others."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from face_index.faces.face import Prototypes
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.templates import make_prototypes
from scanner.miniature.persons import CALIBRATION_SEEDS, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

FOLDER = Path(".bench/gallery")
# Registered people enrol with six photos, as in the demo; the crowd with three, to halve the time
# of drawing.
PHOTOS, PHOTOS_OF_CROWD = 6, 3
# The first 2,000 calibrated the pack and are not used.
FIRST_OF_CROWD = 10_000
_PART = 250


def templates_of(registered: Sequence[int], size: int) -> list[tuple[str, Prototypes]]:
    """Templates of `size` people, the registered ones and a crowd, with their seeds as ids."""
    crowd = size - len(registered)
    reader = InsightFaceReader(find_pack("miniature", FOLDER, {"miniature": FACE_PACK}))
    named = [(str(seed), template(reader, seed, PHOTOS)) for seed in registered]
    return [*named, *_crowd(reader, crowd)]


def template(reader: InsightFaceReader, seed: int, photos: int) -> Prototypes:
    drawn = [draw_photo(person_of(seed), number).pixels for number in range(photos)]
    return make_prototypes([faces[0] for faces in reader.read(drawn) if faces])


def _draw(seed: int) -> np.ndarray:
    return np.stack(
        [draw_photo(person_of(seed), number).pixels for number in range(PHOTOS_OF_CROWD)]
    )


def _crowd(reader: InsightFaceReader, count: int) -> list[tuple[str, Prototypes]]:
    """Templates of the crowd in the order of their seeds; they are stored and used again."""
    folder = FOLDER / reader.version.sha256[:12]
    folder.mkdir(parents=True, exist_ok=True)
    found: list[tuple[str, Prototypes]] = []
    starts = range(0, count, _PART)
    with ProcessPoolExecutor() as pool:
        for start in track(
            starts, "gallery", disable=all((folder / f"{start}.npz").exists() for start in starts)
        ):
            path = folder / f"{start}.npz"
            if not path.exists():
                seeds = [
                    CALIBRATION_SEEDS[FIRST_OF_CROWD + start + number] for number in range(_PART)
                ]
                photos = np.concatenate(list(pool.map(_draw, seeds, chunksize=25)))
                read = reader.read(list(photos))
                rows = {}
                for number, seed in enumerate(seeds):
                    faces = [
                        found_faces[0]
                        for found_faces in read[
                            number * PHOTOS_OF_CROWD : (number + 1) * PHOTOS_OF_CROWD
                        ]
                        if found_faces
                    ]
                    if faces:
                        rows[str(seed)] = make_prototypes(faces)
                partial = path.with_suffix(".part.npz")
                np.savez(partial, **rows)  # type: ignore[arg-type]
                partial.replace(path)
            with np.load(path) as kept:
                found += [(name, kept[name]) for name in kept.files]
    return found[:count]
