"""A face found in an image, its embedding, and what every face reader must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from face_index.errors import PackMismatch

Image = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""

Vector = npt.NDArray[np.float32]
"""float32 [d], unit length."""


@dataclass(frozen=True, slots=True)
class PackVersion:
    """Which networks made an embedding; embeddings of different versions are never compared.

    Attributes:
        name: the face pack's name.
        sha256: of detector and recogniser files together, lower-case hex.
        dimension: length of the embedding.
    """

    name: str
    sha256: str
    dimension: int

    def must_be(self, other: PackVersion) -> None:
        """Raise PackMismatch unless both are the same networks."""
        if self != other:
            raise PackMismatch(
                f"embeddings of pack {self.name} ({self.sha256[:12]}) cannot be compared with pack "
                f"{other.name} ({other.sha256[:12]}); enrol again with the pack that scans use"
            )


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one image.

    Attributes:
        box: left, top, right, bottom, pixels.
        landmarks: float32 [5, 2], pixels: left eye, right eye, nose, left and right mouth corner.
        detector_score: 0 to 1.
        sharpness: variance of the Laplacian of the aligned 112x112 grey crop.
        brightness: mean of the aligned grey crop, 0 to 255.
        embedding: unit vector of the pack's dimension.
    """

    box: tuple[float, float, float, float]
    landmarks: npt.NDArray[np.float32]
    detector_score: float
    sharpness: float
    brightness: float
    embedding: Vector

    @property
    def eye_distance_px(self) -> float:
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def yaw(self) -> float:
        """How far the nose stands off the middle of the eyes, in eye distances; 0 is frontal."""
        eyes = self.landmarks[1] - self.landmarks[0]
        middle = (self.landmarks[0] + self.landmarks[1]) / 2
        return float(np.dot(self.landmarks[2] - middle, eyes) / max(float(np.dot(eyes, eyes)), 1e-6))


class FaceReader(Protocol):
    """Finds every face in images; an empty list means no face, never an error."""

    @property
    def version(self) -> PackVersion:
        """Stored beside each embedding."""

    def read(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each image, largest first."""


def unit(vector: npt.NDArray[np.floating]) -> Vector:
    """The vector at length 1, float32."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
