"""The pairs at which somebody should look: the most similar impostors, the least similar photos."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Pillow

from face_index.accuracy.labelled import LabelledPhoto, ReadPhotos
from face_index.faces.face import Face, unit
from face_index.faces.photos import jpeg_address, open_photo

MOST = 12
_ROWS_AT_ONCE = 500
_SIDE_PX = 112
_MARGIN = 0.3  # around a face, as a share of its size


@dataclass(frozen=True, slots=True)
class Extreme:
    """Two photos and their cosine."""

    first: LabelledPhoto
    second: LabelledPhoto
    cosine: float

    def to_document(self) -> dict[str, str | float]:
        return {
            "first": name_of(self.first),
            "second": name_of(self.second),
            "cosine": round(self.cosine, 4),
        }


@dataclass(frozen=True, slots=True)
class Looks:
    """The pairs at which somebody should look, with a picture of each face.

    Attributes:
        pictures: Data addresses by the name of the photo (`name_of`).
    """

    impostors: tuple[Extreme, ...] = ()
    genuine: tuple[Extreme, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)


NO_LOOKS = Looks()


def looks_at(read: ReadPhotos) -> Looks:
    """Return the pairs at which somebody should look before trusting the labels."""
    impostors, genuine = closest_impostors(read), farthest_photos(read)
    photos = {photo for one in (*impostors, *genuine) for photo in (one.first, one.second)}
    pictures = {name_of(photo): picture_of(photo, read.faces[photo]) for photo in photos}
    return Looks(tuple(impostors), tuple(genuine), pictures)


def name_of(photo: LabelledPhoto) -> str:
    """Return a photo's name as marks have it: PERSON/FILE."""
    return f"{photo.person}/{photo.path.name}"


def closest_impostors(read: ReadPhotos, most: int = MOST) -> list[Extreme]:
    """Return the most similar photos of two persons, one pair for each two persons."""
    photos = read.in_order()
    if len(photos) < 2:
        return []
    vectors = np.stack([read.faces[photo].embedding for photo in photos])
    persons = np.unique([photo.person for photo in photos], return_inverse=True)[1]
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    for start in range(0, len(photos), _ROWS_AT_ONCE):
        scores = vectors[start : start + _ROWS_AT_ONCE] @ vectors.T
        own = persons[start : start + len(scores)]
        scores[own[:, None] >= persons[None, :]] = -1  # each two persons once
        for row, column in _highest(scores, 50 * most):
            key = (int(own[row]), int(persons[column]))
            found = (float(scores[row, column]), start + row, column)
            best[key] = max(best.get(key, found), found)
    highest = sorted(best.values(), reverse=True)[:most]
    return [Extreme(photos[row], photos[column], cosine) for cosine, row, column in highest]


def _highest(scores: np.ndarray, count: int) -> list[tuple[int, int]]:
    flat = scores.ravel()
    count = min(count, len(flat))
    chosen = np.argpartition(flat, len(flat) - count)[len(flat) - count :]
    rows, columns = np.unravel_index(chosen[flat[chosen] > -1], scores.shape)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def farthest_photos(read: ReadPhotos, most: int = MOST) -> list[Extreme]:
    """Return the photos that are least like the others of their person, beside a typical one."""
    by_person: dict[str, list[LabelledPhoto]] = {}
    for photo in read.in_order():
        by_person.setdefault(photo.person, []).append(photo)
    found: list[Extreme] = []
    for photos in by_person.values():
        if len(photos) < 2:
            continue
        vectors = np.stack([read.faces[photo].embedding for photo in photos])
        typical = photos[int((vectors @ unit(vectors.sum(axis=0))).argmax())]
        others = vectors.sum(axis=0) - vectors
        cosines = (vectors * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        found += [
            Extreme(photo, typical, float(cosine))
            for photo, cosine in zip(photos, cosines, strict=True)
            if photo != typical
        ]
    return sorted(found, key=lambda one: one.cosine)[:most]


def picture_of(photo: LabelledPhoto, face: Face) -> str:
    """Return a small picture of a face as a data address, for a report that is one file."""
    image = Pillow.fromarray(open_photo(photo.path).pixels)
    left, top, right, bottom = face.box
    margin = _MARGIN * max(right - left, bottom - top)
    crop = image.crop(
        (round(left - margin), round(top - margin), round(right + margin), round(bottom + margin))
    )
    return jpeg_address(crop, _SIDE_PX)
