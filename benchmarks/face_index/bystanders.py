"""Finding the person of people's photos: bystanders, and folders with photos of two people.

    python -m benchmarks.face_index.bystanders FOLDER PACK [development] [held-out]

FOLDER holds one folder of photos for each person, whose name is the person's, as LFW does. The face
nearest to the middle of a photo counts as the right one, which is how LFW was cropped. People are
split into halves by their names' hashes; settings were chosen on the development half. Printed are
how many people whose photos show others beside them are enrolled, how many with a face of somebody
else, how many pairs of people in one folder are taken for one person, and how many single people
are questioned. Photos are read once and kept beside the folder, in FOLDER.PACK.pickle.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from face_index.faces.face import Face, Image
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.photos import PhotoRefused, open_photo, photos_in
from face_index.faces.quality import QualityBar
from face_index.gallery.metrics import rate
from face_index.registration.enrolment import MIN_PHOTOS
from face_index.registration.grouping import UNCALIBRATED_ALIKE
from face_index.registration.person_in_photos import (
    Candidate,
    PersonInPhotos,
    find_person,
    prominence_of,
)

PAIRS, TURNS = 600, 5
SIZES = (2, 3, 4, 8)
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class ReadPhoto:
    """The usable faces of a photo, the largest first, and the number of the right one."""

    candidates: tuple[Candidate, ...]
    right: int


Album = list[ReadPhoto]


def read_folder(folder: Path, reader: InsightFaceReader, bar: QualityBar) -> dict[str, Album]:
    """Read every person's photos; those without a usable face are left out."""
    albums: dict[str, Album] = {}
    paths = [
        path for person in sorted(folder.iterdir()) if person.is_dir()
        for path in photos_in([person])
    ]  # fmt: skip
    for start in track(range(0, len(paths), _AT_ONCE), "reading"):
        opened: list[tuple[Path, Image]] = []
        for path in paths[start : start + _AT_ONCE]:
            try:
                opened.append((path, open_photo(path).pixels))
            except PhotoRefused as error:
                print(f"{path}: {error}")
        all_faces = reader.read([pixels for _, pixels in opened])
        for (path, pixels), faces in zip(opened, all_faces, strict=True):
            usable = [face for face in faces if bar.objection(face) is None]
            if usable:
                albums.setdefault(path.parent.name, []).append(_photo(usable, pixels))
    return albums


def _photo(faces: Sequence[Face], pixels: Image) -> ReadPhoto:
    high, wide = pixels.shape[:2]

    def distance(number: int) -> float:
        left, top, right, bottom = faces[number].box
        return float(np.hypot(left + right - wide, top + bottom - high))

    candidates = tuple(
        Candidate(0, number, face, prominence_of(face, pixels))
        for number, face in enumerate(faces, 1)
    )
    return ReadPhoto(candidates, min(range(len(faces)), key=distance) + 1)


def person_of_photos(photos: Sequence[ReadPhoto], alike: float) -> tuple[PersonInPhotos, list[int]]:
    """Return the person, and the numbers of the photos that would be accepted."""
    candidates = [
        Candidate(number, one.number, one.face, one.prominence)
        for number, photo in enumerate(photos)
        for one in photo.candidates
    ]
    person = find_person(candidates, alike)
    if person.people:
        return person, []
    return person, [number for number in person.faces if number not in person.rival_photos]


def bystanders(albums: Sequence[Album], alike: float) -> None:
    """Print how many people are enrolled whose photos show somebody else as well."""
    enrolled = wrong = people = 0
    for album in albums:
        if len(album) < MIN_PHOTOS or all(len(photo.candidates) < 2 for photo in album):
            continue
        person, accepted = person_of_photos(album, alike)
        people += 1
        if len(accepted) >= MIN_PHOTOS:
            enrolled += 1
            wrong += any(person.faces[row].number != album[row].right for row in accepted)
    print(f"  people with others in their photos, enrolled:  {percent(enrolled, people)}")
    print(f"    with somebody else's face:                   {percent(wrong, max(enrolled, 1))}")


def two_people(albums: Sequence[Album], alike: float, size: int, rng: np.random.Generator) -> None:
    """Print how many pairs in one folder are taken for one person, and how many single people
    with as many photos are questioned."""
    enough = [album for album in albums if len(album) >= size]
    taken = 0
    for _ in range(PAIRS):
        chosen = rng.choice(len(enough), 2, replace=False)
        photos = [photo for number in chosen for photo in _some(enough[number], size, rng)]
        _, accepted = person_of_photos(photos, alike)
        owners = {row < size for row in accepted}
        taken += len(accepted) >= MIN_PHOTOS and len(owners) > 1
    single = [album for album in albums if len(album) >= 2 * size]
    questioned = sum(
        len(person_of_photos(_some(album, 2 * size, rng), alike)[1]) < MIN_PHOTOS
        for album in single
        for _ in range(TURNS)
    )
    print(
        f"  {size} + {size} photos of two people taken for one: {percent(taken, PAIRS)}; one "
        f"person, {2 * size} photos, questioned: {percent(questioned, TURNS * len(single))}"
    )


def _some(album: Album, count: int, rng: np.random.Generator) -> Album:
    return [album[number] for number in rng.choice(len(album), count, replace=False)]


def percent(count: int, of: int) -> str:
    told = rate(count, of)
    return f"{told.value:.2%} ({told.low:.2%} to {told.high:.2%}) of {of}"


def kept(path: Path, make: Callable[[], dict[str, Album]]) -> dict[str, Album]:
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    albums: dict[str, Album] = pickle.loads(path.read_bytes())
    return albums


def main() -> None:
    folder, pack = Path(sys.argv[1]), find_pack(sys.argv[2], Path("unused"), {})
    albums = kept(
        folder.with_name(f"{folder.name}.{pack.name}.pickle"),
        lambda: read_folder(folder, InsightFaceReader(pack), pack.bar),
    )
    for number, split in enumerate(("development", "held-out")):
        if split not in (sys.argv[3:] or ("development", "held-out")):
            continue
        of_split = [
            album for name, album in albums.items()
            if hashlib.sha256(name.encode()).digest()[0] % 2 == number
        ]  # fmt: skip
        print(f"{split}: {len(of_split)} people, {sum(map(len, of_split))} photos")
        bystanders(of_split, UNCALIBRATED_ALIKE)
        rng = np.random.default_rng(0)
        for size in SIZES:
            two_people(of_split, UNCALIBRATED_ALIKE, size, rng)


if __name__ == "__main__":
    main()
