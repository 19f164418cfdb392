"""Running the detector again on a photo: at full size, or turned.

Every photo is scaled to the size of the detector's input. A face of 400 pixels in a photo of 8,000
is too small then, and a face that fills the frame is too large. The detector also finds "upright"
faces in photos that are upside down or lie on their side, with the eyes where the mouth is. Such
faces of different people are alike, so they must not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pillow

from face_index.faces.capture_faces import faces_in_pieces, pixels_of
from face_index.faces.face import Face, FaceReader, Image
from face_index.faces.quality import QualityBar

# By how much the detector score of a turned photo must be higher. In 66 crops of seven faces in
# public photographs, the upright orientation had the highest score, by at least 0.024 and by 0.1 in
# the median (SCRFD and YuNet are trained on upright faces).
_MIN_SCORE_GAIN = 0.02
_TURNS = (45, 90, 135, 180, 225, 270, 315)
_SAME_READING = 0.6  # cosine
_FRAME = 0.5  # width of the frame as a share of the longer side; the face becomes half as large
_FRAME_GREY = 127


@dataclass(frozen=True, slots=True)
class TurnedFaces:
    """The usable faces of a photo after the photo was turned.

    Attributes:
        degrees: Clockwise, a multiple of 45.
        image: The turned photo.
    """

    degrees: int
    image: Image
    faces: list[Face]


def faces_at_full_size(reader: FaceReader, data: bytes) -> tuple[list[Face], int]:
    """Find faces in a photo at its full size, in overlapping pieces.

    If there are none and the photo is larger than the detector's input, the whole photo is tried
    with a frame around it, for a face that fills it.

    Args:
        data: Bytes of an image file that was opened before.

    Returns:
        Faces with boxes in pixels of the full size, and its width.
    """
    image = pixels_of(data)
    width = image.shape[1]
    found = faces_in_pieces(reader, image, reader.detector_side)
    if found or min(image.shape[:2]) < reader.detector_side:
        return found, width
    return _faces_with_frame(reader, image), width


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


def turned_faces(
    reader: FaceReader, bar: QualityBar, image: Image, unturned: Sequence[Face]
) -> TurnedFaces | None:
    """Return the usable faces of a photo that lies on its side or upside down.

    Args:
        unturned: Faces that were found without turning it.

    Returns:
        None if no turned photo has a usable face with a clearly higher detector score.
    """
    images = [_turned(image, degrees) for degrees in _TURNS]
    found = [
        TurnedFaces(degrees, turned, [face for face in faces if bar.objection(face) is None])
        for degrees, turned, faces in zip(_TURNS, images, reader.read(images), strict=True)
    ]
    best = max(found, key=lambda turned: _best_score(turned.faces))
    if _best_score(best.faces) < _best_score(unturned) + _MIN_SCORE_GAIN:
        return None
    surest = max(best.faces, key=lambda face: face.detector_score)
    # A head that is only held aslant gives the same vector either way.
    if any(float(surest.embedding @ face.embedding) >= _SAME_READING for face in unturned):
        return None
    return best


def _turned(image: Image, degrees: int) -> Image:
    """Return an image turned clockwise, with its mean colour where nothing of it is."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, -degrees // 90))
    picture = Pillow.fromarray(image)
    fill = tuple(round(float(channel)) for channel in image.mean(axis=(0, 1)))
    turned = picture.rotate(-degrees, Pillow.Resampling.BILINEAR, expand=True, fillcolor=fill)
    return np.asarray(turned)


def _best_score(faces: Sequence[Face]) -> float:
    return max((face.detector_score for face in faces), default=0.0)
