"""From a person's photos to a template, refusing what would make it wrong and saying why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from face_index.errors import EnrolmentRefused
from face_index.faces.face import Face, FaceReader, Prototypes, unit
from face_index.faces.photos import Photo, PhotoFile, PhotoRefused, open_photo, photo_from
from face_index.faces.quality import QualityBar
from face_index.faces.refusals import Refusal, Why
from face_index.faces.second_look import Turned, look_nearer, on_their_side, turned_face
from face_index.gallery.exact_gallery import Gallery
from face_index.gallery.templates import make_prototypes
from face_index.registration.grouping import (
    UNCALIBRATED_ALIKE,
    closest_cosine,
    groups_of,
    people_in,
)
from face_index.registration.photo_names import labels_of, picked_numbers

MIN_PHOTOS = 3
# A photo whose face lies this far from the mean of the others is taken to be someone else. Real
# same-person pairs of one small pack had a cosine of at least 0.46 (25 public photographs).
MIN_COSINE_TO_OTHERS = 0.4
_OPEN_AT_ONCE = 16  # decoded photos in memory, up to 12 MB each


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """What became of one photo.

    Attributes:
        name: file name, with folders where another photo has that name.
        refusal: None if it was accepted.
        quality: what was measured of its face, None if there was no single face.
    """

    name: str
    refusal: Refusal | None
    quality: Mapping[str, float] | None = None

    def to_document(self, language: str = "en") -> dict[str, Any]:
        return {
            "name": self.name,
            "why": str(self.refusal.why) if self.refusal else None,
            "reason": self.refusal.text(language) if self.refusal else None,
            "quality": self.quality,
        }


@dataclass(frozen=True, slots=True)
class EnrolmentReport:
    """What became of every photo.

    Attributes:
        needed: photos that must pass.
        people: names of the photos of each person, if they show several people who do not look alike.
    """

    photos: tuple[PhotoVerdict, ...]
    needed: int
    people: tuple[tuple[str, ...], ...] = ()

    @property
    def accepted(self) -> int:
        return sum(verdict.refusal is None for verdict in self.photos)


@dataclass(frozen=True, slots=True)
class Template:
    """A person's prototypes and what they were made from; `photos` are the accepted files' bytes."""

    prototypes: Prototypes
    report: EnrolmentReport
    photos: tuple[bytes, ...]


@dataclass(slots=True)
class _Sorting:
    """Photos on their way through the checks."""

    names: list[str]
    refusals: dict[int, Refusal] = field(default_factory=dict)
    photos: dict[int, Photo] = field(default_factory=dict)
    faces: dict[int, Face] = field(default_factory=dict)
    crowds: dict[int, list[Face]] = field(default_factory=dict)
    originals: dict[int, int] = field(default_factory=dict)
    turned: dict[int, Turned] = field(default_factory=dict)
    people: list[list[int]] = field(default_factory=list)


def make_template(
    reader: FaceReader,
    bar: QualityBar,
    photos: Sequence[Path | PhotoFile],
    needed: int = MIN_PHOTOS,
    picks: Mapping[str, int] | None = None,
    alike: float = UNCALIBRATED_ALIKE,
) -> Template:
    """A template from photos of one person.

    Args:
        needed: photos that must pass.
        picks: for photos of several people, by file name or path, which face it is: 1 is the largest.
        alike: cosine from which on groups of photos may show one person (face_index.registration.grouping.alike_from).

    Raises:
        EnrolmentRefused: fewer than `needed` photos passed, or they show several people; its report has a
            reason for each.
        PickRefused: a pick that fits no photo, or several.
    """
    sorting, numbers = _Sorting(labels_of(photos)), picked_numbers(picks or {}, photos)
    for start in range(0, len(photos), _OPEN_AT_ONCE):
        opened = _open(sorting, start, photos[start : start + _OPEN_AT_ONCE])
        _choose_faces(sorting, opened, reader, bar, numbers, turn=True)
    _refuse_on_their_side(sorting)
    _refuse_copies(sorting)
    _refuse_several_people(sorting, alike)
    _refuse_strangers(sorting)
    _suggest_picks(sorting)
    _give_copies_the_reason_of_their_original(sorting)
    return _template(sorting, needed)


def open_faces(
    reader: FaceReader, bar: QualityBar, photos: Sequence[Path | PhotoFile]
) -> list[Face | Refusal]:
    """The one usable face of each photo, or why there is none; photos stand alone, nothing is compared."""
    sorting = _Sorting(labels_of(photos))
    _choose_faces(sorting, _open(sorting, 0, photos), reader, bar, {}, turn=False)
    return [sorting.refusals.get(number) or sorting.faces[number] for number in range(len(photos))]


def template_of_kept(
    reader: FaceReader, photos: Sequence[bytes], alike: float = UNCALIBRATED_ALIKE
) -> Prototypes | None:
    """Prototypes from photos that were accepted before, by another pack; None if no face in them is surely theirs.

    Photos of several people may be among them, of which somebody picked a face then: what counts is whoever the
    photos of one face agree on, and of the others the face that looks like that one.

    Args:
        alike: as in `make_template`; photos that show several people tell nobody's face.
    """
    opened = [photo_from(str(number), data) for number, data in enumerate(photos)]
    sorting = _Sorting([photo.name for photo in opened])
    for number, faces in enumerate(reader.read([photo.pixels for photo in opened])):
        if len(faces) == 1:
            sorting.faces[number] = faces[0]
        elif faces:
            sorting.crowds[number] = faces
    _refuse_several_people(sorting, alike)
    _refuse_strangers(sorting)
    theirs = [sorting.faces[number] for number in _good(sorting)]
    two_disagree = (
        len(theirs) == 2 and theirs[0].embedding @ theirs[1].embedding < MIN_COSINE_TO_OTHERS
    )
    if len(theirs) < 2 or two_disagree:  # of one photo, or two that differ, nobody can tell
        return None
    mean = unit(np.mean([face.embedding for face in theirs], axis=0))
    closest = [
        max(crowd, key=lambda face: float(face.embedding @ mean))
        for crowd in sorting.crowds.values()
    ]
    theirs += [face for face in closest if face.embedding @ mean >= MIN_COSINE_TO_OTHERS]
    return make_prototypes(theirs)


def lookalikes(
    prototypes: Prototypes, gallery: Gallery, threshold: float
) -> list[tuple[str, float]]:
    """Registered identities that look like this person: id and score, closest first.

    Args:
        gallery: of everyone stored, in the same pack.
        threshold: cosine from which on two templates are taken for one person.
    """
    best: dict[str, float] = {}
    for line in gallery.search(prototypes):
        for candidate in line:
            if candidate.score >= threshold:
                best[candidate.identity_id] = max(
                    candidate.score, best.get(candidate.identity_id, -1.0)
                )
    return sorted(best.items(), key=lambda pair: -pair[1])


def _open(sorting: _Sorting, start: int, paths: Sequence[Path | PhotoFile]) -> dict[int, Photo]:
    opened = {}
    for number, path in enumerate(paths, start):
        try:
            opened[number] = open_photo(path)
        except PhotoRefused as error:
            sorting.refusals[number] = error.refusal
    return opened


def _choose_faces(
    sorting: _Sorting,
    opened: dict[int, Photo],
    reader: FaceReader,
    bar: QualityBar,
    picks: Mapping[int, int],
    *,
    turn: bool,
) -> None:
    """Sort photos by what faces they show.

    Args:
        turn: also look whether each lies on its side, which takes three more looks.
    """
    found = reader.read([photo.pixels for photo in opened.values()])
    for (number, photo), seen in zip(opened.items(), found, strict=True):
        faces = _nearer(reader, bar, photo, seen)
        if (
            turn
            and number not in picks
            and (turned := turned_face(reader, bar, photo.pixels, faces)) is not None
        ):
            sorting.turned[number] = turned
        sorting.photos[number] = replace(
            photo, pixels=np.zeros((0, 0, 3), np.uint8)
        )  # no longer needed
        name = sorting.names[number]
        picked = picks.get(number)
        if not faces:
            sorting.refusals[number] = Refusal(Why.NO_FACE)
        elif picked is not None and not 1 <= picked <= len(faces):
            sorting.refusals[number] = Refusal(
                Why.NO_SUCH_FACE, {"number": picked, "count": len(faces)}
            )
        elif picked is None and len(faces) > 1:
            sorting.crowds[number] = faces
            places = ", ".join(
                f"{one} x={f.box[0]:.0f} y={f.box[1]:.0f}" for one, f in enumerate(faces, 1)
            )
            facts = {"count": len(faces), "name": name, "places": places, "likely": None}
            sorting.refusals[number] = Refusal(Why.SEVERAL_FACES, facts)
        else:
            face = faces[(picked or 1) - 1]
            objection = bar.objection(face)
            if objection:
                sorting.refusals[number] = objection
            sorting.faces[number] = face


def _nearer(reader: FaceReader, bar: QualityBar, photo: Photo, faces: list[Face]) -> list[Face]:
    """The faces of a photo; usable ones of a nearer look where none was found, or one that is too small."""
    small = (
        len(faces) == 1
        and (objection := bar.objection(faces[0])) is not None
        and objection.why == Why.TOO_SMALL
    )
    if faces and not small:
        return faces
    # What a nearer look finds in a photo without a face is none: it must be as good as any.
    return [
        face for face in look_nearer(reader, photo.data) if bar.objection(face) is None
    ] or faces


def _refuse_on_their_side(sorting: _Sorting) -> None:
    for number in on_their_side(
        sorting.turned, sorting.faces, _good(sorting), MIN_COSINE_TO_OTHERS
    ):
        sorting.refusals[number] = Refusal(
            Why.SIDEWAYS, {"degrees": sorting.turned[number].degrees}
        )


def _good(sorting: _Sorting) -> list[int]:
    return [number for number in sorting.faces if number not in sorting.refusals]


def _refuse_copies(sorting: _Sorting) -> None:
    """Of the same picture twice, the one with more pixels between the eyes stays."""
    kept: list[int] = []
    for number in sorted(
        _good(sorting), key=lambda one: (-sorting.faces[one].eye_distance_px, one)
    ):
        photo = sorting.photos[number]
        original = next((other for other in kept if photo.is_copy_of(sorting.photos[other])), None)
        if original is None:
            kept.append(number)
        else:
            sorting.refusals[number] = Refusal(Why.DUPLICATE, {"other": sorting.names[original]})
            sorting.originals[number] = original


def _refuse_several_people(sorting: _Sorting, alike: float) -> None:
    """Where photos fall into groups of faces that are not alike, none of them is taken: nobody can tell whose they are."""
    good = _good(sorting)
    if not good:
        return
    vectors = np.stack([sorting.faces[number].embedding for number in good])
    people = people_in(groups_of(vectors, alike))
    if not people:
        return
    cosine = closest_cosine(vectors, people)
    facts = {"count": len(people), "cosine": cosine, "needed": alike}
    sorting.people = [[good[row] for row in group] for group in people]
    for person, group in enumerate(sorting.people, 1):
        for number in group:
            sorting.refusals[number] = Refusal(Why.SEVERAL_PEOPLE, {**facts, "person": person})
    for number in _good(sorting):
        mine = sorting.faces[number].embedding
        closest = max(float(mine @ unit(vectors[group].sum(axis=0))) for group in people)
        sorting.refusals[number] = Refusal(Why.SOMEONE_ELSE, {"cosine": closest, "needed": alike})


def _refuse_strangers(sorting: _Sorting) -> None:
    """Leave-one-out: photos whose face does not look like the rest, worst first, one at a time."""
    left = _good(sorting)
    while len(left) > 2:
        vectors = np.stack([sorting.faces[number].embedding for number in left])
        others = vectors.sum(axis=0) - vectors
        cosines = (vectors * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        worst = int(np.argmin(cosines))
        if cosines[worst] >= MIN_COSINE_TO_OTHERS:
            break
        facts = {"cosine": float(cosines[worst]), "needed": MIN_COSINE_TO_OTHERS}
        sorting.refusals[left.pop(worst)] = Refusal(Why.SOMEONE_ELSE, facts)


def _give_copies_the_reason_of_their_original(sorting: _Sorting) -> None:
    """What is wrong with a photo is wrong with its copies; that they are copies helps nobody then."""
    for number, original in sorting.originals.items():
        if original in sorting.refusals:
            sorting.refusals[number] = sorting.refusals[original]


def _suggest_picks(sorting: _Sorting) -> None:
    """In a photo of several people, say which one looks like the person in the other photos."""
    good = _good(sorting)
    if len(good) < 2:
        return
    mean = unit(np.mean([sorting.faces[number].embedding for number in good], axis=0))
    for number, faces in sorting.crowds.items():
        scores = [float(face.embedding @ mean) for face in faces]
        best = int(np.argmax(scores))
        if scores[best] >= MIN_COSINE_TO_OTHERS:
            refusal = sorting.refusals[number]
            facts = {**refusal.facts, "likely": best + 1}
            sorting.refusals[number] = replace(refusal, facts=facts)


def _template(sorting: _Sorting, needed: int) -> Template:
    verdicts = tuple(
        PhotoVerdict(name, sorting.refusals.get(number), _quality(sorting.faces.get(number)))
        for number, name in enumerate(sorting.names)
    )
    people = tuple(tuple(sorting.names[number] for number in group) for group in sorting.people)
    report = EnrolmentReport(verdicts, needed, people)
    good = sorted(_good(sorting))
    if len(good) < needed:
        raise EnrolmentRefused(report)
    prototypes = make_prototypes([sorting.faces[number] for number in good])
    return Template(prototypes, report, tuple(sorting.photos[number].data for number in good))


def _quality(face: Face | None) -> dict[str, float] | None:
    if face is None:
        return None
    names = (
        "detector_score",
        "eye_distance_px",
        "yaw",
        "pitch",
        "roll",
        "sharpness",
        "brightness",
        "clipped",
        "norm",
    )
    return {name: round(float(getattr(face, name)), 3) for name in names}
