"""Whether two faces were cut from one picture: two screenshots often show the same photograph, at another size.

Perceptual hashes fail here: the crop follows detected landmarks, which jitter, and hashes of crops of one picture differ in
half of their bits. Two patches are registered to each other instead (enhanced correlation coefficient, Evangelidis & Psarakis,
TPAMI 2008), and what is left of their difference is measured. Seen on screenshots of public photographs, 300 to 900 px wide,
JPEG quality 50 to 95: at least 0.986 for one picture, at most 0.98 for different ones of one drawn person, median 0.5 for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from face_index.faces.alignment import CROP_PX, crop_matrices
from face_index.faces.face import Face, Image

PATCH_PX = 96
LEAST_CORRELATION = 0.98
_FACE_SHARE = 0.7  # of the patch: hair and background tell pictures of one person apart
# Of one photograph that somebody changed (cut, mirrored, stretched, lit anew): at least 0.964 where both show something; of
# different drawn pictures of one person 0.92 in 95 of 100 pairs. Of the face alone, before another background: 0.996 and 0.992.
_LEAST_CHANGED, _LEAST_FACE_ALONE = 0.96, 0.9955
_FACE_ROWS, _FACE_COLUMNS = slice(26, 72), slice(26, 70)
_EDGE_PX = 5
_MOST_LOOKS = 60
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
_BLUR = 3

Patch = npt.NDArray[np.float32]
"""float32 [96, 96], grey: a face with what surrounds it, upright."""


@dataclass(frozen=True, slots=True)
class Look:
    """A patch in a fifth of the memory, with where the image reached.

    Attributes:
        grey, there: uint8 [96, 96]; `there` is 1 where the image has pixels.
    """

    grey: npt.NDArray[np.uint8]
    there: npt.NDArray[np.uint8]

    def mirrored(self) -> Look:
        return Look(
            np.ascontiguousarray(self.grey[:, ::-1]), np.ascontiguousarray(self.there[:, ::-1])
        )


def look_of(image: Image, face: Face) -> Look:
    """What tells whether another face was cut from the same photograph, however that was changed."""
    there = cv2.warpAffine(
        np.full(image.shape[:2], 255, np.uint8), _around(face), (PATCH_PX, PATCH_PX)
    )
    whole = cv2.erode(there, np.ones((_EDGE_PX, _EDGE_PX), np.uint8)) == 255
    return Look(patch_of(image, face).astype(np.uint8), whole.astype(np.uint8))


def shows_one_photograph(one: Look, other: Look) -> bool:
    """Whether both show one photograph, also where it was cut, mirrored, stretched, lit anew or put before another background."""
    face = np.zeros_like(one.there)
    face[_FACE_ROWS, _FACE_COLUMNS] = 1
    return any(
        _correlation(one, turned, one.there & turned.there) >= _LEAST_CHANGED
        or _correlation(one, turned, face) >= _LEAST_FACE_ALONE
        for turned in (other, other.mirrored())
    )


def different_photographs(looks: Sequence[Look], wanted: int) -> int:
    """How many different photographs these faces were cut from; counting ends at `wanted`."""
    kept: list[Look] = []
    for look in looks[:_MOST_LOOKS]:
        if len(kept) < wanted and not any(shows_one_photograph(known, look) for known in kept):
            kept.append(look)
    return len(kept)


def _correlation(one: Look, other: Look, mask: npt.NDArray[np.uint8]) -> float:
    start = np.eye(2, 3, dtype=np.float32)
    patches = (one.grey.astype(np.float32), other.grey.astype(np.float32))
    try:
        correlation, _ = cv2.findTransformECC(
            *patches, start, cv2.MOTION_AFFINE, _STEPS, mask, _BLUR
        )
    except cv2.error:  # they never come close enough to be registered
        return -1.0
    return float(correlation)


def _around(face: Face) -> npt.NDArray[np.float32]:
    matrix = crop_matrices(face.landmarks[None])[0] * (PATCH_PX / CROP_PX * _FACE_SHARE)
    matrix[:, 2] += PATCH_PX * (1 - _FACE_SHARE) / 2
    return np.asarray(matrix, np.float32)


def patch_of(image: Image, face: Face) -> Patch:
    """The patch around a face of an image."""
    matrix = _around(face)
    grey = cv2.cvtColor(
        cv2.warpAffine(image, matrix, (PATCH_PX, PATCH_PX), flags=cv2.INTER_AREA),
        cv2.COLOR_RGB2GRAY,
    )
    return np.asarray(cv2.GaussianBlur(grey, (_BLUR, _BLUR), 0), np.float32)


def is_one_picture(one: Patch, other: Patch) -> bool:
    """Whether the patches show the same picture, up to size, light and compression; about 6 ms."""
    start = np.eye(2, 3, dtype=np.float32)
    try:
        correlation, _ = cv2.findTransformECC(
            one, other, start, cv2.MOTION_AFFINE, _STEPS, None, _BLUR
        )
    except cv2.error:  # they never come close enough to be registered
        return False
    return bool(correlation >= LEAST_CORRELATION)
