"""The checks that photos of one person go through before they become a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from face_index.faces.face import Face, FaceReader, unit
from face_index.faces.photos import Photo, PhotoFile, PhotoRefused, open_photo
from face_index.faces.quality import QualityBar
from face_index.faces.refusals import Refusal, Why
from face_index.faces.second_look import (
    TurnedFace,
    faces_at_full_size,
    sideways_photos,
    turned_face,
)
from face_index.registration.grouping import closest_cosine, groups_of, people_in

# A photo whose face is less similar than this to the mean of the others is taken to show another
# person. Real same-person pairs of one small pack had a cosine of at least 0.46 (25 public
# photographs).
MIN_COSINE_TO_OTHERS = 0.4


@dataclass(slots=True)
class CheckedPhotos:
    """The photos of an enrolment, by number, and what the checks have found so far.

    Attributes:
        names: What each photo is called in messages.
        refusals: The photos that were refused, each with its reason.
        photos: The photos that could be opened, without their pixels.
        faces: The face that counts for each photo, usable or not.
        crowds: The faces of each photo that shows several and of which none was picked.
        originals: For each copy, the photo that it is a copy of.
        turned: For photos that may lie on their side, the face they show when turned.
        people: If the photos show several people, the photos of each.
    """

    names: list[str]
    refusals: dict[int, Refusal] = field(default_factory=dict)
    photos: dict[int, Photo] = field(default_factory=dict)
    faces: dict[int, Face] = field(default_factory=dict)
    crowds: dict[int, list[Face]] = field(default_factory=dict)
    originals: dict[int, int] = field(default_factory=dict)
    turned: dict[int, TurnedFace] = field(default_factory=dict)
    people: list[list[int]] = field(default_factory=list)

    def accepted(self) -> list[int]:
        """Return the numbers of the photos with a face that were not refused."""
        return [number for number in self.faces if number not in self.refusals]


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


def choose_faces(
    checked: CheckedPhotos,
    opened: Mapping[int, Photo],
    reader: FaceReader,
    bar: QualityBar,
    picks: Mapping[int, int],
    *,
    turn: bool,
) -> None:
    """Find the face that counts in each photo, and refuse photos without one.

    Args:
        picks: By photo, the number of the face that the submitter picked; 1 is the largest.
        turn: Also look for photos that lie on their side, which runs the detector three more times.
    """
    all_faces = reader.read([photo.pixels for photo in opened.values()])
    for (number, photo), found in zip(opened.items(), all_faces, strict=True):
        faces = _with_second_look(reader, bar, photo, found)
        if turn and number not in picks:
            turned = turned_face(reader, bar, photo.pixels, faces)
            if turned is not None:
                checked.turned[number] = turned
        # The pixels are no longer needed, and would take up to 12 MB for each photo.
        checked.photos[number] = replace(photo, pixels=np.zeros((0, 0, 3), np.uint8))
        _choose_face(checked, number, faces, picks.get(number), bar)


def _choose_face(
    checked: CheckedPhotos, number: int, faces: list[Face], picked: int | None, bar: QualityBar
) -> None:
    if not faces:
        checked.refusals[number] = Refusal(Why.NO_FACE)
    elif picked is not None and not 1 <= picked <= len(faces):
        facts = {"number": picked, "count": len(faces)}
        checked.refusals[number] = Refusal(Why.NO_SUCH_FACE, facts)
    elif picked is None and len(faces) > 1:
        checked.crowds[number] = faces
        checked.refusals[number] = _several_faces(checked.names[number], faces)
    else:
        face = faces[(picked or 1) - 1]
        objection = bar.objection(face)
        if objection:
            checked.refusals[number] = objection
        checked.faces[number] = face


def _several_faces(name: str, faces: Sequence[Face]) -> Refusal:
    places = ", ".join(
        f"{number} x={face.box[0]:.0f} y={face.box[1]:.0f}" for number, face in enumerate(faces, 1)
    )
    facts = {"count": len(faces), "name": name, "places": places, "likely": None}
    return Refusal(Why.SEVERAL_FACES, facts)


def _with_second_look(
    reader: FaceReader, bar: QualityBar, photo: Photo, faces: list[Face]
) -> list[Face]:
    """Look for faces at full size if none was found, or only one that is too small.

    A face that is found only at full size must be usable; otherwise it does not count.
    """
    is_small = (
        len(faces) == 1
        and (objection := bar.objection(faces[0])) is not None
        and objection.why == Why.TOO_SMALL
    )
    if faces and not is_small:
        return faces
    nearer = faces_at_full_size(reader, photo.data)
    return [face for face in nearer if bar.objection(face) is None] or faces


def refuse_sideways(checked: CheckedPhotos) -> None:
    """Refuse photos that lie on their side."""
    sideways = sideways_photos(
        checked.turned, checked.faces, checked.accepted(), MIN_COSINE_TO_OTHERS
    )
    for number in sideways:
        facts = {"degrees": checked.turned[number].degrees}
        checked.refusals[number] = Refusal(Why.SIDEWAYS, facts)


def refuse_copies(checked: CheckedPhotos) -> None:
    """Refuse copies of a picture; the one with the most pixels between the eyes stays."""
    kept: list[int] = []
    by_size = sorted(
        checked.accepted(), key=lambda number: (-checked.faces[number].eye_distance_px, number)
    )
    for number in by_size:
        photo = checked.photos[number]
        original = next((other for other in kept if photo.is_copy_of(checked.photos[other])), None)
        if original is None:
            kept.append(number)
        else:
            checked.refusals[number] = Refusal(Why.DUPLICATE, {"other": checked.names[original]})
            checked.originals[number] = original


def refuse_several_people(checked: CheckedPhotos, alike: float) -> None:
    """Refuse all photos if they form groups of faces that are not alike.

    In that case nothing says whose photos they are.

    Args:
        alike: Cosine from which on two groups may show one person.
    """
    accepted = checked.accepted()
    if not accepted:
        return
    vectors = np.stack([checked.faces[number].embedding for number in accepted])
    people = people_in(groups_of(vectors, alike))
    if not people:
        return
    cosine = closest_cosine(vectors, people)
    facts = {"count": len(people), "cosine": cosine, "needed": alike}
    checked.people = [[accepted[row] for row in group] for group in people]
    for person, group in enumerate(checked.people, 1):
        for number in group:
            checked.refusals[number] = Refusal(Why.SEVERAL_PEOPLE, {**facts, "person": person})
    for number in checked.accepted():
        vector = checked.faces[number].embedding
        closest = max(float(vector @ unit(vectors[group].sum(axis=0))) for group in people)
        checked.refusals[number] = Refusal(Why.SOMEONE_ELSE, {"cosine": closest, "needed": alike})


def refuse_other_people(checked: CheckedPhotos) -> None:
    """Refuse photos whose face does not look like the mean of the others, the worst one first.

    This is leave-one-out, repeated until all that are left agree.
    """
    left = checked.accepted()
    while len(left) > 2:
        vectors = np.stack([checked.faces[number].embedding for number in left])
        others = vectors.sum(axis=0) - vectors
        cosines = (vectors * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        worst = int(np.argmin(cosines))
        if cosines[worst] >= MIN_COSINE_TO_OTHERS:
            break
        facts = {"cosine": float(cosines[worst]), "needed": MIN_COSINE_TO_OTHERS}
        checked.refusals[left.pop(worst)] = Refusal(Why.SOMEONE_ELSE, facts)


def suggest_picks(checked: CheckedPhotos) -> None:
    """Add to the refusal of a photo of several people which face looks like the other photos."""
    accepted = checked.accepted()
    if len(accepted) < 2:
        return
    mean = unit(np.mean([checked.faces[number].embedding for number in accepted], axis=0))
    for number, faces in checked.crowds.items():
        scores = [float(face.embedding @ mean) for face in faces]
        best = int(np.argmax(scores))
        if scores[best] >= MIN_COSINE_TO_OTHERS:
            refusal = checked.refusals[number]
            facts = {**refusal.facts, "likely": best + 1}
            checked.refusals[number] = replace(refusal, facts=facts)


def give_copies_the_reason_of_their_original(checked: CheckedPhotos) -> None:
    """Replace the refusal of a copy by that of its original, if the original was refused too."""
    for number, original in checked.originals.items():
        if original in checked.refusals:
            checked.refusals[number] = checked.refusals[original]
