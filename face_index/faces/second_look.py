"""Running the detector again on a photo: at full size, or turned by 90, 180 and 270 degrees.

Every photo is scaled to the size of the detector's input. A face of 400 pixels in a photo of 8,000
is too small then, and a face that fills the frame is too large. The detector also finds "upright"
faces in photos that lie on their side, with the eyes where the mouth is; the embedding of such a
face is similar to nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from face_index.faces.capture_faces import faces_in_pieces, pixels_of
from face_index.faces.face import Face, FaceReader, Image, Vector, unit
from face_index.faces.quality import QualityBar

# By how much the detector score of a turned photo must be higher. In 66 crops of seven faces in
# public photographs, the upright orientation had the highest score, by at least 0.024 and by 0.1 in
# the median (SCRFD and YuNet are trained on upright faces).
_MIN_SCORE_GAIN = 0.02
_FRAME = 0.5  # width of the frame as a share of the longer side; the face becomes half as large
_FRAME_GREY = 127


@dataclass(frozen=True, slots=True)
class TurnedFace:
    """The face of a photo after the photo was turned.

    Attributes:
        degrees: Clockwise: 90, 180 or 270.
    """

    degrees: int
    face: Face


def faces_at_full_size(reader: FaceReader, data: bytes) -> list[Face]:
    """Find faces in a photo at its full size, in overlapping pieces.

    If there are none and the photo is larger than the detector's input, the whole photo is tried
    with a frame around it, for a face that fills it.

    Args:
        data: Bytes of an image file that was opened before.

    Returns:
        Faces with boxes in pixels of the full size.
    """
    image = pixels_of(data)
    found = faces_in_pieces(reader, image, reader.detector_side)
    if found or min(image.shape[:2]) < reader.detector_side:
        return found
    return _faces_with_frame(reader, image)


def _faces_with_frame(reader: FaceReader, image: Image) -> list[Face]:
    width = round(max(image.shape[:2]) * _FRAME)
    framed = np.pad(image, ((width, width), (width, width), (0, 0)), constant_values=_FRAME_GREY)
    [faces] = reader.read([framed])
    shift = np.float32(width)
    return [
        replace(
            face, box=tuple(side - width for side in face.box), landmarks=face.landmarks - shift
        )
        for face in faces
    ]


def turned_face(
    reader: FaceReader, bar: QualityBar, image: Image, unturned_faces: Sequence[Face]
) -> TurnedFace | None:
    """Return the face of a photo that may lie on its side.

    Args:
        unturned_faces: Faces that were found without turning it.

    Returns:
        None if no turned photo has a usable face with a clearly higher detector score.
    """
    turned = [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in (3, 2, 1)]
    found = [
        TurnedFace(90 * quarters, face)
        for quarters, faces in enumerate(reader.read(turned), 1)
        for face in faces
        if bar.objection(face) is None
    ]
    best = max(found, key=lambda candidate: candidate.face.detector_score, default=None)
    unturned_score = max((face.detector_score for face in unturned_faces), default=0.0)
    if best is None or best.face.detector_score < unturned_score + _MIN_SCORE_GAIN:
        return None
    return best


def sideways_photos(
    turned: Mapping[int, TurnedFace],
    faces: Mapping[int, Face],
    accepted: Sequence[int],
    alike: float,
) -> list[int]:
    """Return which photos lie on their side.

    A photo does if the face of the turned photo looks like the faces of the upright photos. If no
    photo is certainly upright, all of them do if their turned faces agree better than the faces
    that were found without turning them.

    Args:
        turned: By the photo's number, the photos with a better face after they were turned.
        faces: By number, the faces of photos in which one face was found without turning them.
        accepted: Numbers of photos with a usable face without turning them.
        alike: Cosine from which on two faces may belong to one person.
    """
    upright = [faces[number].embedding for number in accepted if number not in turned]
    if upright:
        mean = unit(np.sum(upright, axis=0))
        return [
            number
            for number, candidate in turned.items()
            if candidate.face.embedding @ mean >= max(alike, _cosine(faces.get(number), mean))
        ]
    unturned = [faces[number].embedding if number in faces else None for number in turned]
    if _agreement([face.face.embedding for face in turned.values()]) > _agreement(unturned):
        return list(turned)
    return []


def _cosine(face: Face | None, mean: Vector) -> float:
    return float(face.embedding @ mean) if face else -1.0


def _agreement(vectors: Sequence[Vector | None]) -> float:
    """Return the mean cosine of all pairs, -1 to 1; a photo without a face counts -1 with any."""
    known = [vector for vector in vectors if vector is not None]
    if len(vectors) < 2:
        return 0.0 if known else -1.0
    total = sum(
        float(first @ second) for number, first in enumerate(known) for second in known[:number]
    )
    pairs = len(vectors) * (len(vectors) - 1) / 2
    missing = pairs - len(known) * (len(known) - 1) / 2
    return (total - missing) / pairs
