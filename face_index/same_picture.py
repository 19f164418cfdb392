"""Whether two faces were cut from one picture: two screenshots often show the same photograph, at another size.

Perceptual hashes fail here: the crop follows detected landmarks, which jitter, and hashes of crops of one picture differ in
half of their bits. Two patches are registered to each other instead (enhanced correlation coefficient, Evangelidis & Psarakis,
TPAMI 2008), and what is left of their difference is measured. Seen on screenshots of public photographs, 300 to 900 px wide,
JPEG quality 50 to 95: at least 0.986 for one picture, at most 0.98 for different ones of one drawn person, median 0.5 for others.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from face_index.alignment import CROP_PX, crop_matrices
from face_index.face import Face, Image

PATCH_PX = 96
LEAST_CORRELATION = 0.98
_FACE_SHARE = 0.7  # of the patch: hair and background tell pictures of one person apart
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
_BLUR = 3

Patch = npt.NDArray[np.float32]
"""float32 [96, 96], grey: a face with what surrounds it, upright."""


def patch_of(image: Image, face: Face) -> Patch:
    """The patch around a face of an image."""
    matrix = crop_matrices(face.landmarks[None])[0] * (PATCH_PX / CROP_PX * _FACE_SHARE)
    matrix[:, 2] += PATCH_PX * (1 - _FACE_SHARE) / 2
    grey = cv2.cvtColor(cv2.warpAffine(image, matrix, (PATCH_PX, PATCH_PX), flags=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (_BLUR, _BLUR), 0), np.float32)


def is_one_picture(one: Patch, other: Patch) -> bool:
    """Whether the patches show the same picture, up to size, light and compression; about 6 ms."""
    start = np.eye(2, 3, dtype=np.float32)
    try:
        correlation, _ = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, _STEPS, None, _BLUR)
    except cv2.error:  # they never come close enough to be registered
        return False
    return bool(correlation >= LEAST_CORRELATION)
