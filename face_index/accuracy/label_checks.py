"""Finding labels that are wrong, before they spoil a calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from face_index.accuracy.extremes import closest_impostors, farthest_photos, name_of
from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos, cosines
from face_index.accuracy.marks import Mark, Marks
from face_index.errors import CalibrationImpossible
from face_index.faces.face import Face
from face_index.faces.photos import PhotoRefused, open_photo
from face_index.gallery.calibration import genuine_scores
from face_index.gallery.impostors import ImpostorScores, Pair
from face_index.gallery.tail import fit_tail

Floats = npt.NDArray[np.floating]
# Pairs of labels over this quantile of the genuine scores may be one person under two names, if so
# many pairs with such a score would be expected at most.
_GENUINE_QUANTILE = 0.1
_EXPECTED_BY_CHANCE = 0.01
# The faces of a picture and of its copy are more similar than this, unless little is left of it.
_COPY_COSINE = 0.6
_ROWS_AT_ONCE = 500
_LEAST_PERSONS = 35


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label at which somebody must look.

    Attributes:
        first, second: The names of two persons; `second` is "" for a person whose photos seem to
            show several people.
        cosine: The score of the pair; None for one person.
        photos: The two photos that are meant, as PERSON/FILE; empty if all of them are.
    """

    first: str
    second: str
    cosine: float | None
    photos: tuple[str, ...] = ()

    @property
    def persons(self) -> tuple[str, str]:
        return self.first, self.second

    def text(self) -> str:
        if self.photos:
            return (
                f"{' and '.join(self.photos)} may show one person (cosine {self.cosine:.2f}); "
                "a photo under a wrong name is marked leave-out"
            )
        if self.second:
            return (
                f"{self.first} and {self.second} may be one person, or related ({self.cosine:.2f})"
            )
        return f"the photos of {self.first} seem to show several people"


class LabelsInDoubt(CalibrationImpossible):
    """Labels are in doubt, and nobody has marked them."""

    def __init__(self, doubts: list[Doubt]) -> None:
        super().__init__("; ".join(doubt.text() for doubt in doubts))
        self.doubts = doubts


def doubts_about(
    names: list[str], templates: Floats, probes: Floats, read: ReadPhotos, marks: Marks
) -> list[Doubt]:
    """Return the labels at which somebody must look before a calibration rests on them.

    Args:
        names: Of the persons in the rows of `templates` and `probes`.
    """
    pairs = [
        Doubt(names[first], names[second], cosine)
        for cosine, (first, second) in suspicious_pairs(
            templates, probes, _numbered(names, marks.pairs)
        )
    ]
    known = {frozenset(doubt.persons) for doubt in pairs} | set(marks.pairs)
    photos = [doubt for doubt in suspicious_photos(read) if frozenset(doubt.persons) not in known]
    mixed = [Doubt(name, "", None) for name in sorted(read.mixed) if name not in marks.names]
    return pairs + photos + mixed


def pairs_left_out(names: list[str], marks: Marks) -> set[Pair]:
    """Return the pairs of persons that are no impostors, by their numbers."""
    other = [pair for pair, mark in marks.pairs.items() if mark != Mark.DIFFERENT]
    return _numbered(names, other)


def _numbered(names: list[str], pairs: Iterable[frozenset[str]]) -> set[Pair]:
    """Return pairs of names by their numbers, the smaller one first; unknown names are skipped."""
    numbers = {name: number for number, name in enumerate(names)}
    known = (sorted(numbers[name] for name in pair if name in numbers) for pair in pairs)
    return {(pair[0], pair[1]) for pair in known if len(pair) == 2}


def suspicious_pairs(
    templates: Floats, probes: Floats, known: Collection[Pair] = ()
) -> list[tuple[float, Pair]]:
    """Return pairs of labels under which one person may stand, or close relatives.

    A single such pair can raise the threshold for a large gallery to nearly 1. A pair is suspicious
    if it scores like one person, and if the tail of all other pairs makes such a score unlikely.

    Args:
        known: Pairs that need no look, the smaller number first.

    Returns:
        Score and pair, the highest score first.
    """
    scores = ImpostorScores(templates, probes, known)
    floor = float(np.quantile(genuine_scores(templates, probes), _GENUINE_QUANTILE))
    highest: dict[Pair, float] = {}
    for value, row, column in zip(*scores.above(floor), strict=True):
        pair = (int(min(row, column)), int(max(row, column)))
        highest[pair] = max(float(value), highest.get(pair, -1.0))
    if not highest:
        return []
    others = ImpostorScores(templates, probes, {*known, *highest})
    tail = fit_tail(others)
    found = [
        (score, pair)
        for pair, score in highest.items()
        if tail.false_match_rate(score) * others.count < _EXPECTED_BY_CHANCE
    ]
    return sorted(found, reverse=True)


def suspicious_photos(read: ReadPhotos) -> list[Doubt]:
    """Return photos of two names that look like one person, each two names once.

    A single photo under a wrong name changes the mean of its person's photos and so the thresholds.
    """
    first_of: dict[str, Face] = {}
    for photo in read.in_order():
        first_of.setdefault(photo.person, read.faces[photo])
    own = farthest_photos(read, len(read.faces))
    if len(first_of) < _LEAST_PERSONS or not own:
        return []
    genuine = cosines(
        [read.faces[one.first] for one in own], [read.faces[one.second] for one in own]
    )
    floor = float(np.quantile(genuine, _GENUINE_QUANTILE))
    vectors = np.stack([face.embedding for face in first_of.values()])
    _, rows, columns = ImpostorScores(vectors, vectors).above(floor)
    pairs = {(int(min(pair)), int(max(pair))) for pair in zip(rows, columns, strict=True)}
    tail = fit_tail(ImpostorScores(vectors, vectors, pairs))
    comparisons = len(read.faces) ** 2 / 2
    return [
        Doubt(
            one.first.person,
            one.second.person,
            one.cosine,
            (name_of(one.first), name_of(one.second)),
        )
        for one in closest_impostors(read)
        if one.cosine >= floor
        and tail.false_match_rate(one.cosine) * comparisons < _EXPECTED_BY_CHANCE
    ]


def without_shared_pictures(
    read: ReadPhotos,
) -> tuple[ReadPhotos, list[tuple[LabelledPhoto, LabelledPhoto]]]:
    """Leave out pictures that stand under two names, since one of the names is wrong.

    Returns:
        The other photos, and the pairs that were left out: identical files, and pictures that were
        saved again, resized or mirrored.
    """
    shared = [pair for pair in _similar(read) if _is_one_picture(*pair)]
    gone = {photo for pair in shared for photo in pair}
    if not gone:
        return read, []
    faces = {photo: face for photo, face in read.faces.items() if photo not in gone}
    return replace(read, faces=faces), shared


def _similar(read: ReadPhotos) -> Iterator[tuple[LabelledPhoto, LabelledPhoto]]:
    photos = read.in_order()
    if not photos:
        return
    vectors = np.stack([read.faces[photo].embedding for photo in photos])
    persons = np.unique([photo.person for photo in photos], return_inverse=True)[1]
    for start in range(0, len(photos), _ROWS_AT_ONCE):
        scores = vectors[start : start + _ROWS_AT_ONCE] @ vectors.T
        rows, columns = np.nonzero(scores > _COPY_COSINE)
        for first, second in zip(rows + start, columns, strict=True):
            if first < second and persons[first] != persons[second]:
                yield photos[first], photos[second]


def _is_one_picture(first: LabelledPhoto, second: LabelledPhoto) -> bool:
    data = [photo.path.read_bytes() for photo in (first, second)]
    if hashlib.sha256(data[0]).digest() == hashlib.sha256(data[1]).digest():
        return True
    try:
        return open_photo(first.path).is_copy_of(open_photo(second.path))
    except PhotoRefused:
        return False
