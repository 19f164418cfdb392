"""A second look at photos: nearer, where no face or a tiny one was found, and turned, where the photo lies on its side.

A detector sees a photo of any size at its own, so that a face of 400 pixels in one of 8,000 is too small for it, and
one that fills the frame too large. It also finds "upright" faces in photos that lie on their side, with the eyes where
the mouth is: such a face looks like nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from face_index.faces.capture_faces import faces_in_pieces, pixels_of
from face_index.faces.face import Face, FaceReader, Image, Vector, unit
from face_index.faces.quality import QualityBar

# By how much a turned photo's detector score must be the higher one. Of 66 crops of seven faces in public photographs,
# the upright one had the highest by 0.024 at least, by 0.1 in the median (SCRFD and YuNet are trained on upright faces).
_SURER_BY = 0.02
_FRAME = 0.5  # of the longer side, on each side: the face is half as large then
_GREY = 127


@dataclass(frozen=True, slots=True)
class Turned:
    """A photo's face once the photo is turned.

    Attributes:
        degrees: clockwise, 90, 180 or 270.
    """

    degrees: int
    face: Face


def look_nearer(reader: FaceReader, data: bytes) -> list[Face]:
    """Faces in a photo at its full size, in pieces, or framed if it is large; boxes in pixels of the full size.

    Args:
        data: of an image file that was opened before.
    """
    image = pixels_of(data)
    found = faces_in_pieces(reader, image, reader.detector_side)
    return found or (_framed(reader, image) if min(image.shape[:2]) >= reader.detector_side else [])


def _framed(reader: FaceReader, image: Image) -> list[Face]:
    width = round(max(image.shape[:2]) * _FRAME)
    framed = np.pad(image, ((width, width), (width, width), (0, 0)), constant_values=_GREY)
    [faces] = reader.read([framed])
    shift = np.float32(width)
    return [
        replace(
            face, box=tuple(side - width for side in face.box), landmarks=face.landmarks - shift
        )
        for face in faces
    ]


def turned_face(
    reader: FaceReader, bar: QualityBar, image: Image, as_it_is: Sequence[Face]
) -> Turned | None:
    """The face of a photo that lies on its side, None where no turned photo shows one more surely.

    Args:
        as_it_is: faces that were found without turning it.
    """
    turned = [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in (3, 2, 1)]
    found = [
        Turned(90 * number, face)
        for number, faces in enumerate(reader.read(turned), 1)
        for face in faces
        if bar.objection(face) is None
    ]
    best = max(found, key=lambda one: one.face.detector_score, default=None)
    surest = max((face.detector_score for face in as_it_is), default=0.0)
    return best if best is not None and best.face.detector_score >= surest + _SURER_BY else None


def on_their_side(
    turned: Mapping[int, Turned], faces: Mapping[int, Face], good: Sequence[int], alike: float
) -> list[int]:
    """Which photos lie on their side: the face of the turned photo is that of the upright ones.

    Where no photo is surely upright, all of them lie on their side if their turned faces agree better than those
    that were found in them as they are.

    Args:
        turned: by the photo's number, those with a surer face once they are turned.
        faces: by number, of photos in which one face was found as they are.
        good: numbers of photos with a usable face as they are.
        alike: cosine from which on two faces may be one person's.
    """
    upright = [faces[number].embedding for number in good if number not in turned]
    if upright:
        mean = unit(np.sum(upright, axis=0))
        return [
            number for number, one in turned.items()
            if one.face.embedding @ mean >= max(alike, float(faces[number].embedding @ mean) if number in faces else alike)
        ]  # fmt: skip
    as_they_are = [faces[number].embedding if number in faces else None for number in turned]
    if _agreement([one.face.embedding for one in turned.values()]) > _agreement(as_they_are):
        return list(turned)
    return []


def _agreement(vectors: Sequence[Vector | None]) -> float:
    """Mean cosine of all pairs, -1 to 1; a photo without a face agrees with none."""
    there = [vector for vector in vectors if vector is not None]
    if len(vectors) < 2:
        return 0.0 if there else -1.0
    total = sum(float(one @ other) for number, one in enumerate(there) for other in there[:number])
    pairs = len(vectors) * (len(vectors) - 1) / 2
    missing = pairs - len(there) * (len(there) - 1) / 2
    return (total - missing) / pairs
