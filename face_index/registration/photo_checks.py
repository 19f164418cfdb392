"""The checks that photos of one person go through before they become a template."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from face_index.faces.face import Face, FaceReader, Image
from face_index.faces.photos import Photo, PhotoFile, PhotoRefused, open_photo
from face_index.faces.quality import QualityBar
from face_index.faces.refusals import Refusal, Why
from face_index.faces.second_look import faces_at_full_size, turned_faces
from face_index.registration.person_in_photos import (
    CLEARLY_MORE_PROMINENT,
    Candidate,
    PersonInPhotos,
    find_person,
    most_prominent,
    prominence_of,
)

# A face that is not like the person's is perhaps the person's all the same if it is hard to see.
# The message says so from these values on.
_THREE_QUARTER_YAW_DEG = 25.0
_LITTLE_SEEN = 0.75  # length of the embedding, as a share of the person's median
_SOFT = 0.25  # sharpness, likewise


@dataclass(frozen=True, slots=True)
class UnusableFace:
    """A face, what is wrong with it, and how much its photo is about it (`prominence_of`)."""

    face: Face
    refusal: Refusal
    prominence: float


@dataclass(slots=True)
class CheckedPhotos:
    """The photos of an enrolment, by number, and what the checks have found so far.

    Attributes:
        names: What each photo is called in messages.
        refusals: The photos that were refused, each with its reason.
        photos: The photos that could be opened, without their pixels.
        candidates: The usable faces of all photos, and faces that somebody picked.
        unusable: The other faces, by photo.
        counts: How many faces were found in each photo.
        faces: The person's face in each photo that was not refused.
        originals: For each copy, the photo that it is a copy of.
        people: If the photos show several people, the photos of each.
    """

    names: list[str]
    refusals: dict[int, Refusal] = field(default_factory=dict)
    photos: dict[int, Photo] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    unusable: dict[int, list[UnusableFace]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    faces: dict[int, Candidate] = field(default_factory=dict)
    originals: dict[int, int] = field(default_factory=dict)
    people: list[list[int]] = field(default_factory=list)

    def of_photo(self, number: int) -> list[Candidate]:
        """Return the usable faces of a photo, the largest first."""
        return [candidate for candidate in self.candidates if candidate.photo == number]


def open_photos(
    checked: CheckedPhotos, start: int, paths: Sequence[Path | PhotoFile]
) -> dict[int, Photo]:
    """Open some of the photos, and refuse those that are not readable images.

    Args:
        start: Number of the first of these photos.
    """
    opened = {}
    for number, path in enumerate(paths, start):
        try:
            opened[number] = open_photo(path)
        except PhotoRefused as error:
            checked.refusals[number] = error.refusal
    return opened


def find_faces(
    checked: CheckedPhotos,
    opened: Mapping[int, Photo],
    reader: FaceReader,
    bar: QualityBar,
    picks: Mapping[int, int],
    *,
    turn: bool,
) -> None:
    """Find the faces in each photo, and refuse photos without a usable one.

    Args:
        picks: By photo, the number of the face that the submitter picked; 1 is the largest.
        turn: Turn photos in which the detector sees a face better then. This runs the detector
            seven more times.
    """
    all_faces = reader.read([photo.pixels for photo in opened.values()])
    for (number, photo), found in zip(opened.items(), all_faces, strict=True):
        faces = _with_second_look(reader, bar, photo, found)
        if number in picks:
            _take_picked(checked, number, faces, picks[number], bar, photo.pixels)
        else:
            _take_usable(checked, number, faces, bar, photo.pixels)
            if turn:
                _take_turned(checked, number, faces, reader, bar, photo.pixels)
        # The pixels are no longer needed, and would take up to 12 MB for each photo.
        checked.photos[number] = replace(photo, pixels=np.zeros((0, 0, 3), np.uint8))


def _take_picked(
    checked: CheckedPhotos,
    number: int,
    faces: Sequence[Face],
    picked: int,
    bar: QualityBar,
    image: Image,
) -> None:
    checked.counts[number] = len(faces)
    if not faces:
        checked.refusals[number] = Refusal(Why.NO_FACE)
    elif not 1 <= picked <= len(faces):
        facts = {"number": picked, "count": len(faces)}
        checked.refusals[number] = Refusal(Why.NO_SUCH_FACE, facts)
    else:
        face = faces[picked - 1]
        objection = bar.objection(face)
        if objection is not None:
            checked.refusals[number] = objection
            return
        checked.candidates.append(Candidate.of(number, picked, face, image, is_picked=True))


def _take_usable(
    checked: CheckedPhotos, number: int, faces: Sequence[Face], bar: QualityBar, image: Image
) -> None:
    checked.counts[number] = len(faces)
    objections = [bar.objection(face) for face in faces]
    unusable = [
        UnusableFace(face, why, prominence_of(face, image))
        for face, why in zip(faces, objections, strict=True)
        if why is not None
    ]
    checked.candidates += [
        Candidate.of(number, place, face, image)
        for place, (face, objection) in enumerate(zip(faces, objections, strict=True), 1)
        if objection is None
    ]
    checked.unusable[number] = unusable
    if not faces:
        checked.refusals[number] = Refusal(Why.NO_FACE)
    elif len(unusable) == len(faces):
        checked.refusals[number] = max(unusable, key=lambda one: one.prominence).refusal


def _take_turned(
    checked: CheckedPhotos,
    number: int,
    faces: Sequence[Face],
    reader: FaceReader,
    bar: QualityBar,
    image: Image,
) -> None:
    """Take the faces that are found better after the photo was turned instead of the others.

    The others are false: eyes where the mouth is. Such faces of different people are alike.
    """
    turned = turned_faces(reader, bar, image, faces)
    if turned is None:
        return
    checked.candidates = [one for one in checked.candidates if one.photo != number]
    checked.candidates += [
        Candidate.of(number, 0, face, turned.image, degrees=turned.degrees) for face in turned.faces
    ]
    checked.unusable.pop(number, None)
    checked.counts[number] = len(turned.faces)
    checked.refusals.pop(number, None)


def _with_second_look(
    reader: FaceReader, bar: QualityBar, photo: Photo, faces: list[Face]
) -> list[Face]:
    """Look for faces at full size if none was found, or only faces that are too small.

    A face that is found only at full size must be usable; otherwise it does not count.
    """
    objections = [bar.objection(face) for face in faces]
    if any(why is None or why.why != Why.TOO_SMALL for why in objections):
        return faces
    nearer, width = faces_at_full_size(reader, photo.data)
    scale = photo.pixels.shape[1] / width
    usable = [face for face in nearer if bar.objection(face) is None]
    # Boxes in pixels of the opened photo, as those of all other faces.
    return [_with_scaled_box(face, scale) for face in usable] or faces


def _with_scaled_box(face: Face, scale: float) -> Face:
    left, top, right, bottom = (scale * side for side in face.box)
    return replace(face, box=(left, top, right, bottom))


def refuse_copies(checked: CheckedPhotos) -> None:
    """Refuse copies of a picture; the one with the most pixels between the eyes stays.

    One in which somebody picked a face stays in any case.
    """
    largest: dict[int, float] = {}
    for candidate in checked.candidates:
        size = candidate.face.eye_distance_px
        largest[candidate.photo] = max(size, largest.get(candidate.photo, 0.0))
    kept: list[int] = []
    picked = {candidate.photo for candidate in checked.candidates if candidate.is_picked}
    order = sorted(largest, key=lambda number: (number not in picked, -largest[number], number))
    for number in order:
        photo = checked.photos[number]
        original = next((other for other in kept if photo.is_copy_of(checked.photos[other])), None)
        if original is None:
            kept.append(number)
        else:
            checked.refusals[number] = Refusal(Why.DUPLICATE, {"other": checked.names[original]})
            checked.originals[number] = original
    checked.candidates = [
        candidate for candidate in checked.candidates if candidate.photo not in checked.originals
    ]


def choose_person(checked: CheckedPhotos, alike: float) -> None:
    """Choose in each photo the face on which the photos agree, and refuse photos without it.

    Args:
        alike: Average cosine from which on two groups of faces may show one person
            (face_index.registration.grouping.alike_from).
    """
    person = find_person(checked.candidates, alike)
    if person.people:
        _refuse_several_people(checked, person, alike)
        return
    unsure = person.rival_photos | _overshadowed(checked, person)
    for number in unsure:
        checked.refusals[number] = _several_faces(checked, number)
    checked.faces = {
        number: candidate for number, candidate in person.faces.items() if number not in unsure
    }
    for number in sorted({candidate.photo for candidate in checked.candidates}):
        if number not in person.faces:
            checked.refusals[number] = _unlike(checked, number, person, alike)


def _overshadowed(checked: CheckedPhotos, person: PersonInPhotos) -> frozenset[int]:
    """Return the photos that are about somebody else, usable or not, if most of them are.

    Then the person may be a bystander of somebody whose face cannot be used.
    """
    if any(candidate.is_picked for candidate in person.faces.values()):
        return frozenset()
    found = set()
    for number, taken in person.faces.items():
        others = [one.prominence for one in checked.of_photo(number) if one is not taken]
        others += [one.prominence for one in checked.unusable.get(number, ())]
        if max(others, default=0.0) > CLEARLY_MORE_PROMINENT * taken.prominence:
            found.add(number)
    return frozenset(found) if 2 * len(found) > len(person.faces) else frozenset()


def refuse_lost_picks(checked: CheckedPhotos, picks: Collection[int]) -> None:
    """Refuse all photos if a face that somebody picked is not taken.

    Whoever picks a face means that person and nobody else.
    """
    lost = [
        number
        for number in sorted(picks)
        if checked.originals.get(number, number) not in checked.faces
    ]
    if not lost:
        return
    facts = {"name": checked.names[lost[0]]}
    for number in checked.faces:
        checked.refusals[number] = Refusal(Why.PICK_LOST, facts)
    checked.faces.clear()


def _refuse_several_people(checked: CheckedPhotos, person: PersonInPhotos, alike: float) -> None:
    """Refuse all photos: nothing says whose photos they are."""
    checked.people = person.people
    facts = {"count": len(person.people), "cosine": person.cosine, "needed": alike}
    for number in {candidate.photo for candidate in checked.candidates}:
        checked.refusals[number] = _unlike(checked, number, person, alike)
    for place, group in reversed(list(enumerate(person.people, 1))):
        for number in group:
            checked.refusals[number] = Refusal(Why.SEVERAL_PEOPLE, {**facts, "person": place})


def _unlike(checked: CheckedPhotos, number: int, person: PersonInPhotos, alike: float) -> Refusal:
    """Return the reason for a photo in which no usable face is the person's."""
    others = [candidate for photo, candidate in person.faces.items() if photo != number]
    vectors = np.stack([candidate.face.embedding for candidate in others or checked.candidates])
    for unusable in checked.unusable.get(number, ()):
        if float((vectors @ unusable.face.embedding).mean()) >= alike:
            return unusable.refusal
    faces = [candidate.face for candidate in checked.of_photo(number)]
    face = max(faces, key=lambda one: float((vectors @ one.embedding).mean()))
    cosine = float((vectors @ face.embedding).mean())
    perhaps = _hard_to_see(face, [candidate.face for candidate in others])
    facts = {"cosine": cosine, "needed": alike, "perhaps": perhaps}
    return Refusal(Why.SOMEONE_ELSE, facts)


def _hard_to_see(face: Face, person: Sequence[Face]) -> Refusal | None:
    """Return why a face may be the person's although it is not like the others."""
    if max(abs(face.yaw), abs(face.pitch)) > _THREE_QUARTER_YAW_DEG:
        if abs(face.yaw) >= abs(face.pitch):
            return Refusal(Why.TURNED, {"degrees": abs(face.yaw)})
        return Refusal(Why.TILTED, {"degrees": abs(face.pitch)})
    if not person:
        return None
    if face.norm < _LITTLE_SEEN * float(np.median([one.norm for one in person])):
        return Refusal(Why.COVERED)
    if face.sharpness < _SOFT * float(np.median([one.sharpness for one in person])):
        return Refusal(Why.BLURRED)
    return None


def _several_faces(checked: CheckedPhotos, number: int) -> Refusal:
    places = ", ".join(
        f"{candidate.number} x={candidate.place[0]:.0%} y={candidate.place[1]:.0%}"
        for candidate in checked.of_photo(number)
        if candidate.number
    )
    facts = {"count": checked.counts[number], "name": checked.names[number], "places": places}
    return Refusal(Why.SEVERAL_FACES, facts)


def choose_face_of_each(checked: CheckedPhotos, alike: float) -> None:
    """Choose the person's face in each photo; where it is not seen, the most prominent face.

    So a face that is unlike the others still counts, as error rates require. If the most prominent
    face is not usable, the others are those of bystanders.
    """
    person = find_person(checked.candidates, alike)
    checked.people = person.people
    for number in sorted({candidate.photo for candidate in checked.candidates}):
        chosen = person.faces.get(number)
        if chosen is None or number in person.rival_photos:
            chosen = most_prominent(checked.of_photo(number))
            unusable = max(
                checked.unusable.get(number, ()), key=lambda one: one.prominence, default=None
            )
            if unusable and chosen and unusable.prominence > chosen.prominence:
                checked.refusals[number] = unusable.refusal
                continue
        if chosen is None:
            checked.refusals[number] = _several_faces(checked, number)
        else:
            checked.faces[number] = chosen


def give_copies_the_reason_of_their_original(checked: CheckedPhotos) -> None:
    """Replace the refusal of a copy by that of its original, if the original was refused too."""
    for number, original in checked.originals.items():
        if original in checked.refusals:
            checked.refusals[number] = checked.refusals[original]
