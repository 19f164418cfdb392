"""Finding the person whom several photos show.

People photograph their friends, and strangers stand in the background. The person is the one on
whose face the photos agree; where two people appear equally often, the one who is larger and nearer
to the middle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from face_index.faces.face import Face, Image
from face_index.registration.grouping import Groups, average_cosine, groups_of

# From so many photos on, people who appear in them are people, not strangers in the background.
MIN_PHOTOS_OF_A_PERSON = 2
# Somebody who appears in all but one of the person's photos must be clearly less prominent.
_MORE_OFTEN = 2
CLEARLY_MORE_PROMINENT = 1.5
# Of a single photo with a label it is known that it shows the person; a wrong choice costs a
# comparison, not an identity.
_MORE_PROMINENT = 1.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A usable face that may be the person's.

    Attributes:
        photo: Number of the photo.
        number: Of the face in its photo; 1 is the largest. 0 for faces that were found only after
            the photo was turned.
        prominence: How much a photo is about this face (`prominence_of`), 0 to 1.
        place: Of the left upper corner of its box, as shares of the photo's width and height.
        is_picked: Whoever submits the photos said that it is the person's.
        degrees: By how much the photo was turned clockwise before the face was found.
    """

    photo: int
    number: int
    face: Face
    prominence: float
    place: tuple[float, float] = (0.0, 0.0)
    is_picked: bool = False
    degrees: int = 0

    @classmethod
    def of(
        cls,
        photo: int,
        number: int,
        face: Face,
        image: Image,
        *,
        is_picked: bool = False,
        degrees: int = 0,
    ) -> Candidate:
        """Return a face of an image, in whose pixels its box is."""
        prominence, place = prominence_of(face, image), place_of(face, image)
        return cls(photo, number, face, prominence, place, is_picked, degrees)


@dataclass(frozen=True, slots=True)
class PersonInPhotos:
    """The person whom several photos show.

    Attributes:
        faces: The person's face by the number of the photo.
        people: The photos of each of several people, if nobody appears in all photos; nothing says
            then whose photos they are.
        rival_photos: Photos that show the person beside somebody who is as prominent and appears
            as often, so that somebody must say who is meant.
        cosine: The highest average cosine between two of the people.
    """

    faces: dict[int, Candidate]
    people: Groups
    rival_photos: frozenset[int]
    cosine: float


NOBODY = PersonInPhotos({}, [], frozenset(), -1.0)


def prominence_of(face: Face, image: Image) -> float:
    """Return how much an image is about a face: its share of the width, and its place.

    Args:
        image: In whose pixels the face's box is.

    Returns:
        0 to 1; half as much at the edge of the image as in its middle.
    """
    high, wide = image.shape[:2]
    left, top, right, bottom = face.box
    share = min(1.0, max(right - left, bottom - top) / min(high, wide))
    across, down = (left + right) / wide - 1, (top + bottom) / high - 1
    distance = min(1.0, float(np.hypot(across, down)) / np.sqrt(2))
    return float(share * (1 - distance / 2))


def place_of(face: Face, image: Image) -> tuple[float, float]:
    """Return the left upper corner of a face's box as shares of an image's width and height."""
    high, wide = image.shape[:2]
    left, top, *_ = face.box
    return min(max(left / wide, 0.0), 1.0), min(max(top / high, 0.0), 1.0)


def most_prominent(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the face that one photo is about; None if two faces are about as prominent."""
    first, *others = sorted(candidates, key=lambda one: -one.prominence)
    if others and first.prominence < _MORE_PROMINENT * others[0].prominence:
        return None
    return first


def find_person(candidates: Sequence[Candidate], alike: float) -> PersonInPhotos:
    """Find the person whom photos show.

    Args:
        candidates: The usable faces of all photos.
        alike: Average cosine from which on two groups of faces may show one person
            (face_index.registration.grouping.alike_from).
    """
    if not candidates:
        return NOBODY
    vectors = np.stack([candidate.face.embedding for candidate in candidates])
    photos = np.array([candidate.photo for candidate in candidates])
    groups = groups_of(vectors, alike, photos)
    groups.sort(key=lambda group: _rank([candidates[row] for row in group]), reverse=True)
    person, *others = groups
    shown = {int(photos[row]) for row in person}
    people = [person, *_without_person(others, photos, shown)]
    cosine = max((average_cosine(vectors, person, other) for other in people[1:]), default=-1.0)
    faces = {candidates[row].photo: candidates[row] for row in person}
    if len(people) > 1:
        return PersonInPhotos(
            faces, [_photos_of(group, photos) for group in people], frozenset(), cosine
        )
    rivals = [[candidates[row] for row in group] for group in others]
    return PersonInPhotos(faces, [], _rival_photos(list(faces.values()), rivals), cosine)


def _rank(group: Sequence[Candidate]) -> tuple[bool, int, int, int, float]:
    """Return what makes a group the person's, the most important first.

    The photos agree on it, somebody picked it, it is in most photos, it is upright in most of them,
    it is the most prominent.
    """
    picked = sum(candidate.is_picked for candidate in group)
    prominence = sum(candidate.prominence for candidate in group)
    upright = sum(not candidate.degrees for candidate in group)
    return len(group) >= MIN_PHOTOS_OF_A_PERSON, picked, len(group), upright, prominence


def _without_person(groups: Groups, photos: np.ndarray, shown: Collection[int]) -> Groups:
    """Return the groups that have several photos in which the person does not appear."""
    remaining = ([row for row in group if photos[row] not in shown] for group in groups)
    return [group for group in remaining if len(group) >= MIN_PHOTOS_OF_A_PERSON]


def _photos_of(group: Sequence[int], photos: np.ndarray) -> list[int]:
    return sorted({int(photos[row]) for row in group})


def _rival_photos(
    person: Sequence[Candidate], others: Sequence[Sequence[Candidate]]
) -> frozenset[int]:
    """Return the photos that show the person beside somebody who might be meant as well."""
    if any(candidate.is_picked for candidate in person):
        return frozenset()
    prominence = {candidate.photo: candidate.prominence for candidate in person}
    found: set[int] = set()
    for other in others:
        beside = [candidate for candidate in other if candidate.photo in prominence]
        theirs = sum(candidate.prominence for candidate in beside)
        own = sum(prominence[candidate.photo] for candidate in beside)
        is_often = len(other) >= min(MIN_PHOTOS_OF_A_PERSON, len(person))
        is_rarer = len(other) + _MORE_OFTEN <= len(person)
        if is_often and not is_rarer and own < CLEARLY_MORE_PROMINENT * theirs:
            found |= {candidate.photo for candidate in beside}
    return frozenset(found)
