"""Comparing two faces to find that both were cut from the same picture.

Two screenshots often show one photograph at different sizes. Perceptual hashes do not find it: the
crop follows the detected landmarks, which jitter, and the hashes of two crops of one picture differ
in half of their bits. Instead, two patches are registered to each other and their enhanced
correlation coefficient is measured (Evangelidis & Psarakis, TPAMI 2008). On screenshots of public
photographs, 300 to 900 px wide, JPEG quality 50 to 95, it was at least 0.986 for one picture, at
most 0.98 for different pictures of one drawn person, and 0.5 in the median for other pairs.
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
# Share of the patch that the face takes; hair and background distinguish pictures of one person.
_FACE_SHARE = 0.7
# Correlation of a photograph with an edited copy (cropped, mirrored, stretched, relit), where both
# have pixels: at least 0.964; of different drawn pictures of one person: 0.92 in 95 of 100 pairs.
# Of the face alone, with another background: 0.996 and 0.992.
_LEAST_EDITED, _LEAST_FACE_ALONE = 0.96, 0.9955
_FACE_ROWS, _FACE_COLUMNS = slice(26, 72), slice(26, 70)
_EDGE_PX = 5
_MOST_PATCHES = 60
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
_BLUR = 3

Patch = npt.NDArray[np.float32]
"""float32 [96, 96], grey: an upright face with its surroundings."""


@dataclass(frozen=True, slots=True)
class MaskedPatch:
    """A patch with a mask of the pixels that the image covers, in a fifth of a Patch's memory.

    Attributes:
        grey: uint8 [96, 96].
        mask: uint8 [96, 96], 1 where the image has pixels.
    """

    grey: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]

    def mirrored(self) -> MaskedPatch:
        return MaskedPatch(
            np.ascontiguousarray(self.grey[:, ::-1]), np.ascontiguousarray(self.mask[:, ::-1])
        )


def masked_patch_of(image: Image, face: Face) -> MaskedPatch:
    """Return the patch around a face, to find edited copies of the photograph."""
    covered = cv2.warpAffine(
        np.full(image.shape[:2], 255, np.uint8), _patch_transform(face), (PATCH_PX, PATCH_PX)
    )
    mask = cv2.erode(covered, np.ones((_EDGE_PX, _EDGE_PX), np.uint8)) == 255
    return MaskedPatch(patch_of(image, face).astype(np.uint8), mask.astype(np.uint8))


def shows_one_photograph(first: MaskedPatch, second: MaskedPatch) -> bool:
    """Whether both show one photograph, possibly edited.

    Cropped, mirrored, stretched and relit copies are found, and copies with another background.
    """
    face = np.zeros_like(first.mask)
    face[_FACE_ROWS, _FACE_COLUMNS] = 1
    return any(
        _correlation(first, candidate, first.mask & candidate.mask) >= _LEAST_EDITED
        or _correlation(first, candidate, face) >= _LEAST_FACE_ALONE
        for candidate in (second, second.mirrored())
    )


def different_photographs(patches: Sequence[MaskedPatch], wanted: int) -> int:
    """Count the photographs that these faces were cut from; counting stops at `wanted`."""
    kept: list[MaskedPatch] = []
    for patch in patches[:_MOST_PATCHES]:
        if len(kept) < wanted and not any(shows_one_photograph(known, patch) for known in kept):
            kept.append(patch)
    return len(kept)


def _correlation(first: MaskedPatch, second: MaskedPatch, mask: npt.NDArray[np.uint8]) -> float:
    start = np.eye(2, 3, dtype=np.float32)
    patches = (first.grey.astype(np.float32), second.grey.astype(np.float32))
    try:
        correlation, _ = cv2.findTransformECC(
            *patches, start, cv2.MOTION_AFFINE, _STEPS, mask, _BLUR
        )
    except cv2.error:  # the patches are too different to be registered
        return -1.0
    return float(correlation)


def _patch_transform(face: Face) -> npt.NDArray[np.float32]:
    matrix = crop_matrices(face.landmarks[None])[0] * (PATCH_PX / CROP_PX * _FACE_SHARE)
    matrix[:, 2] += PATCH_PX * (1 - _FACE_SHARE) / 2
    return np.asarray(matrix, np.float32)


def patch_of(image: Image, face: Face) -> Patch:
    """Return the patch around a face of an image."""
    matrix = _patch_transform(face)
    grey = cv2.cvtColor(
        cv2.warpAffine(image, matrix, (PATCH_PX, PATCH_PX), flags=cv2.INTER_AREA),
        cv2.COLOR_RGB2GRAY,
    )
    return np.asarray(cv2.GaussianBlur(grey, (_BLUR, _BLUR), 0), np.float32)


def is_one_picture(first: Patch, second: Patch) -> bool:
    """Whether both show the same picture, apart from size, light and compression; takes 6 ms."""
    start = np.eye(2, 3, dtype=np.float32)
    try:
        correlation, _ = cv2.findTransformECC(
            first, second, start, cv2.MOTION_AFFINE, _STEPS, None, _BLUR
        )
    except cv2.error:  # the patches are too different to be registered
        return False
    return bool(correlation >= LEAST_CORRELATION)
