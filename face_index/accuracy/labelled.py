"""Photos with known persons, as folders or as pairs, and the faces found in them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from face_index.errors import CalibrationImpossible
from face_index.faces.face import Face, FaceReader
from face_index.faces.photos import photos_in
from face_index.faces.quality import QualityBar
from face_index.registration.enrolment import labelled_faces


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo and the person in it; `group` is a label such as an age band, "" without one."""

    path: Path
    person: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos that are to be compared."""

    first: LabelledPhoto
    second: LabelledPhoto

    @property
    def genuine(self) -> bool:
        return self.first.person == self.second.person


@dataclass(frozen=True, slots=True)
class ReadPhotos:
    """The faces that a face pack found in labelled photos.

    Attributes:
        faces: The usable face of each photo that has one.
        failures: How many photos have none, by reason (failure to acquire).
        mixed: Names of persons whose photos form groups that are not alike.
    """

    faces: dict[LabelledPhoto, Face]
    failures: dict[str, int]
    mixed: frozenset[str] = frozenset()

    @property
    def photo_count(self) -> int:
        return len(self.faces) + sum(self.failures.values())

    def in_order(self) -> list[LabelledPhoto]:
        """Return the photos with a usable face, by their paths."""
        return sorted(self.faces, key=lambda photo: photo.path)

    def by_person(self) -> dict[str, list[Face]]:
        found: dict[str, list[Face]] = {}
        for photo in self.in_order():
            found.setdefault(photo.person, []).append(self.faces[photo])
        return found


def labelled_photos(folder: Path) -> list[LabelledPhoto]:
    """Find the photos in a folder that has one folder for each person.

    A file `groups.csv` in it (columns person, group) gives labels to persons.

    Raises:
        CalibrationImpossible: No person's folder has photos.
    """
    groups = _groups(folder / "groups.csv")
    found = [
        LabelledPhoto(path, person.name, groups.get(person.name, ""))
        for person in sorted(folder.iterdir())
        if person.is_dir() and not person.name.startswith(".")
        for path in photos_in([person])
    ]
    if not found:
        raise CalibrationImpossible(f"{folder} holds no folders of photos, one for each person")
    return found


def labelled_pairs(path: Path) -> list[Pair]:
    """Read pairs from a CSV file or from LFW's pairs.txt.

    A CSV file has the columns first, second, same and optionally group; paths are relative to it.
    LFW's file names photos as NAME/NAME_0001.jpg in the folder of the file.

    Raises:
        CalibrationImpossible: The file is neither; names the line.
    """
    try:
        found = _pairs_in(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationImpossible(f"{path} cannot be read as UTF-8 text ({error})") from error
    if not found:
        raise CalibrationImpossible(f"{path} names no pairs")
    return found


def _pairs_in(path: Path) -> list[Pair]:
    if path.suffix.lower() == ".txt":
        return list(_lfw_pairs(path))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"first", "second", "same"} - set(reader.fieldnames or ())
        if missing:
            raise CalibrationImpossible(f"{path} lacks the column {', '.join(sorted(missing))}")
        return [_csv_pair(path, number, row) for number, row in enumerate(reader, 2)]


def read_photos(
    photos: Sequence[LabelledPhoto], reader: FaceReader, bar: QualityBar, alike: float
) -> Iterator[ReadPhotos]:
    """Read photos person by person, and after each yield the result for all photos read so far.

    Whom a person's photos show is found as in an enrolment, so that bystanders do not count as the
    person.

    Args:
        alike: As for `face_index.registration.enrolment.make_template`.
    """
    faces: dict[LabelledPhoto, Face] = {}
    failures: Counter[str] = Counter()
    mixed: set[str] = set()
    persons: dict[str, list[LabelledPhoto]] = {}
    for photo in photos:
        persons.setdefault(photo.person, []).append(photo)
    for name, theirs in persons.items():
        outcomes, is_mixed = labelled_faces(reader, bar, [one.path for one in theirs], alike)
        mixed |= {name} if is_mixed else set()
        for photo, outcome in zip(theirs, outcomes, strict=True):
            if isinstance(outcome, Face):
                faces[photo] = outcome
            else:
                failures[str(outcome.why)] += 1
        yield ReadPhotos(faces, dict(failures), frozenset(mixed))


def _groups(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["person"]: row["group"] or "" for row in csv.DictReader(file)}
    except (KeyError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationImpossible(
            f"{path} needs the columns person and group, separated by commas, in UTF-8 ({error})"
        ) from error


def _csv_pair(path: Path, number: int, row: dict[str, str]) -> Pair:
    same = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
        (row["same"] or "").strip().lower()
    )
    if same is None:
        raise CalibrationImpossible(f"{path}, line {number}: same is 1 or 0, not {row['same']!r}")
    first, second = (path.parent / (row[name] or "") for name in ("first", "second"))
    for photo in (first, second):
        if not photo.is_file():
            raise CalibrationImpossible(f"{path}, line {number}: there is no file {photo}")
    group = row.get("group") or ""
    # The file names no persons, so each pair has persons of its own.
    other = f"{number}a" if same else f"{number}b"
    return Pair(LabelledPhoto(first, f"{number}a", group), LabelledPhoto(second, other, group))


def _lfw_pairs(path: Path) -> Iterator[Pair]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        parts = line.split()
        if len(parts) == 3:
            name, first, second = parts
            yield Pair(
                _lfw_photo(path, number, name, first), _lfw_photo(path, number, name, second)
            )
        elif len(parts) == 4:
            yield Pair(_lfw_photo(path, number, *parts[:2]), _lfw_photo(path, number, *parts[2:]))
        elif number > 1 and parts:
            raise CalibrationImpossible(f"{path}, line {number}: not a line of LFW's pairs.txt")


def _lfw_photo(path: Path, line: int, name: str, number: str) -> LabelledPhoto:
    if not number.isascii() or not number.isdigit():
        raise CalibrationImpossible(f"{path}, line {line}: not a line of LFW's pairs.txt")
    photo = path.parent / name / f"{name}_{int(number):04d}.jpg"
    if not photo.is_file():
        raise CalibrationImpossible(f"{path}, line {line}: there is no file {photo}")
    return LabelledPhoto(photo, name)


def cosines(first: Sequence[Face], second: Sequence[Face]) -> np.ndarray:
    """Return the cosine of each pair of faces, float64 [n]."""
    if not first:
        return np.zeros(0)
    left, right = (
        np.stack([face.embedding for face in faces]).astype(np.float64) for faces in (first, second)
    )
    return np.asarray(np.einsum("nd,nd->n", left, right))
