"""Usable faces in pictures, and their weights. Vectors stay in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from face_index.faces.face import Face, FaceReader, Vector, unit
from face_index.faces.packs import FacePack
from face_index.faces.quality import QualityBar
from face_index.gallery.calibration import Calibration

# Sharpness from which a face has full weight, as a multiple of the quality bar's minimum.
_FULL_SHARPNESS = 4.0


@dataclass(frozen=True)
class FaceTools:
    """The configured face pack with its reader and its calibration.

    Attributes:
        load_calibration: returns the calibration of the pack, or None if it has none.
    """

    pack: FacePack
    reader: FaceReader
    load_calibration: Callable[[], Calibration | None]

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration, read when it is first needed: a damaged one can still be replaced."""
        return self.load_calibration()


@dataclass(frozen=True, slots=True)
class FaceFinder:
    """Finds the largest usable face in each picture.

    Attributes:
        bar: minimum quality of a usable face.
    """

    reader: FaceReader
    bar: QualityBar

    def usable_faces(
        self, pictures: Sequence[npt.NDArray[np.uint8]], skipped: Sequence[bool]
    ) -> list[Face | None]:
        """Return the largest usable face of each picture; None for a picture without one.

        Args:
            skipped: True for every picture that is not read, because it was blurred.
        """
        read = [number for number, skip in enumerate(skipped) if not skip]
        found: list[Face | None] = [None] * len(pictures)
        faces_of_read = self.reader.read([pictures[number] for number in read])
        for number, faces in zip(read, faces_of_read, strict=True):
            usable = [face for face in faces if self.bar.objection(face) is None]
            found[number] = usable[0] if usable else None
        return found

    def weight(self, face: Face | None) -> float:
        """Return the weight of a face in a mean, 0 to 1: detector score times sharpness factor."""
        if face is None:
            return 0.0
        sharp = min(1.0, face.sharpness / max(_FULL_SHARPNESS * self.bar.min_sharpness, 1e-9))
        return face.detector_score * (0.5 + 0.5 * sharp)


def mean_score(vectors: Sequence[Vector | None], template: Vector) -> float | None:
    """Return the cosine of the mean vector and a template; None for less than two vectors."""
    known = [vector for vector in vectors if vector is not None]
    return float(unit(np.mean(known, axis=0)) @ template) if len(known) >= 2 else None
