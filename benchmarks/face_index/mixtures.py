"""Enrolments with photos of two people: how many are refused, and how many single people are.

    python -m benchmarks.face_index.mixtures [development] [held-out]

Drawn people are checked with the shipped face pack, its calibration and the checks of
`make_template`. "poor" photos are blurred, small, dark or partly covered. Single people have one
appearance, or two with three photos each; the second one has glasses put on or taken off, other
hair, or grey hair and another beard (years later). Mixes are of random pairs. The rate at which
groups count as different people was chosen on the development people; the held-out people were not
used before. Photos are drawn and read once, which takes some minutes on two cores, then kept in
.training/ (git-ignored).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.face_index.templates import poor
from face_index.faces.face import Face
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.gallery.calibration import Calibration
from face_index.gallery.calibration_file import load_calibration
from face_index.gallery.metrics import rate
from face_index.registration.grouping import DIFFERENT_PEOPLE_FMR, alike_from
from face_index.registration.person_in_photos import Candidate, find_person
from scanner.miniature.persons import CALIBRATION_SEEDS, HAIR_COLOURS, Person, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

FOLDER = Path(".training/population")
SPLITS = {
    "development": CALIBRATION_SEEDS[56_000:56_600],
    "held-out": CALIBRATION_SEEDS[57_000:57_500],
}
PHOTOS = {"clean": 8, "poor": 8, "glasses": 3, "other hair": 3, "years later": 3}
MIXES = ((3, 3), (4, 2), (5, 3), (8, 2), (2, 2), (2, 2, 2))
PAIRS = 2_000

Album = dict[str, list[Face]]


def look(person: Person, kind: str) -> Person:
    if kind == "glasses":
        return replace(person, glasses="square" if person.glasses == "none" else "none")
    if kind == "other hair":
        name, style = ("blond", "long") if person.hair_name != "blond" else ("black", "short")
        return replace(person, hair_name=name, hair=HAIR_COLOURS[name], hair_style=style)
    if kind == "years later":
        beard = "full" if person.beard == "none" else "none"
        return replace(person, hair_name="grey", hair=HAIR_COLOURS["grey"], beard=beard)
    return person


def pack() -> FacePack:
    return find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})


_reader: InsightFaceReader | None = None


def _open_reader() -> None:
    global _reader  # noqa: PLW0603  one reader a process, opened by the pool
    _reader = InsightFaceReader(pack())
    _reader._threads = 1


def _read(seeds: Sequence[int]) -> list[Album]:
    assert _reader is not None
    bar, albums = pack().bar, []
    for seed in seeds:
        rng, album = np.random.default_rng(seed), {}
        for row, (kind, count) in enumerate(PHOTOS.items()):
            person = look(person_of(seed), kind)
            images = [draw_photo(person, 100 * row + number).pixels for number in range(count)]
            if kind == "poor":
                images = [poor(image, rng) for image in images]
            seen = [faces[0] for faces in _reader.read(images) if len(faces) == 1]
            album[kind] = [face for face in seen if bar.objection(face) is None]
        albums.append(album)
    return albums


def albums_of(split: str) -> list[Album]:
    """Embeddings of everyone's photos that pass the pack's quality bar."""
    path = FOLDER / f"mixtures-{split}.npz"
    if not path.exists():
        seeds = SPLITS[split]
        tasks = [seeds[start : start + 20] for start in range(0, len(seeds), 20)]
        with ProcessPoolExecutor(os.cpu_count(), initializer=_open_reader) as pool:
            drawn = track(pool.map(_read, tasks), f"{split}: reading", len(tasks))
            albums = [album for part in drawn for album in part]
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            (one, kind, face.embedding)
            for one, album in enumerate(albums)
            for kind in PHOTOS
            for face in album[kind]
        ]
        people, kinds, vectors = zip(*rows, strict=True)
        np.savez(path, people=people, kinds=kinds, vectors=np.stack(vectors))
    albums = [{kind: [] for kind in PHOTOS} for _ in SPLITS[split]]
    with np.load(path) as stored:
        for person, kind, vector in zip(
            stored["people"], stored["kinds"], stored["vectors"], strict=True
        ):
            albums[person][str(kind)].append(replace(_BLANK, embedding=vector))
    return albums


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


def sorted_out(faces: Sequence[Face], alike: float) -> tuple[bool, list[int]]:
    """Return whether photos were refused as those of several people, and which were accepted."""
    candidates = [Candidate(number, 1, face, 0.5) for number, face in enumerate(faces)]
    person = find_person(candidates, alike)
    return bool(person.people), [] if person.people else sorted(person.faces)


def percent(count: int, of: int) -> str:
    told = rate(count, of)
    return f"{told.value:.2%} ({told.low:.2%} to {told.high:.2%})"


def single_people(albums: Sequence[Album], alike: float) -> None:
    sets = {"6 clean photos": [album["clean"][:6] for album in albums]}
    sets["6 poor photos"] = [album["poor"][:6] for album in albums]
    sets["4 clean and 2 poor photos"] = [album["clean"][:4] + album["poor"][:2] for album in albums]
    for kind in ("glasses", "other hair", "years later"):
        sets[f"3 and 3 photos, {kind}"] = [album["clean"][:3] + album[kind] for album in albums]
    for name, people in sets.items():
        questioned = sum(sorted_out(faces, alike)[0] for faces in people)
        print(f"  one person, {name}: questioned {percent(questioned, len(people))}")


def mixes(albums: Sequence[Album], kind: str, split: tuple[int, ...], alike: float) -> None:
    rng, questioned, mixed = np.random.default_rng(0), 0, 0
    for _ in range(PAIRS):
        chosen = rng.choice(len(albums), len(split), replace=False)
        parts = [albums[person][kind][:count] for person, count in zip(chosen, split, strict=True)]
        owner = [number for number, part in enumerate(parts) for _ in part]
        asked, left = sorted_out([face for part in parts for face in part], alike)
        questioned += asked
        mixed += not asked and len(left) >= 3 and len({owner[row] for row in left}) > 1
    told = " + ".join(map(str, split))
    print(
        f"  {told} {kind} photos of {len(split)} people: questioned {percent(questioned, PAIRS)}, "
        f"taken for one person {percent(mixed, PAIRS)}"
    )


def main() -> None:
    calibration: Calibration | None = load_calibration(
        FACE_PACK / "calibration.json", InsightFaceReader(pack()).version.sha256
    )
    alike = alike_from(calibration)
    for split in sys.argv[1:] or SPLITS:
        albums = albums_of(split)
        print(
            f"{split}, {len(albums)} people; alike from cosine {alike:.3f} (FMR "
            f"{DIFFERENT_PEOPLE_FMR:.1%})"
        )
        single_people(albums, alike)
        for sizes in MIXES:
            mixes(albums, "clean", sizes, alike)
        for sizes in ((3, 3), (4, 2)):
            mixes(albums, "poor", sizes, alike)


if __name__ == "__main__":
    main()
