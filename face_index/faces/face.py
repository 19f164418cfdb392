"""A face in an image, its embedding, and the protocol of face readers."""

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

Prototypes = npt.NDArray[np.float32]
"""float32 [p, d], unit rows, one for each appearance of a person. A template has one or more."""


@dataclass(frozen=True, slots=True)
class PackVersion:
    """The networks that computed an embedding. Embeddings of two versions are never compared.

    Attributes:
        name: The face pack's name.
        sha256: Of the detector and recogniser files together, lower-case hex. It decides whether
            two versions are the same.
        dimension: Length of the embedding.
        version: The pack's own version, "" if it states none.
    """

    name: str
    sha256: str
    dimension: int
    version: str = ""

    def must_be(self, other: PackVersion) -> None:
        """Raise PackMismatch unless both are the same networks."""
        if (self.sha256, self.dimension) != (other.sha256, other.dimension):
            raise PackMismatch(
                f"embeddings of pack {self.name} ({self.sha256[:12]}) cannot be compared with pack "
                f"{other.name} ({other.sha256[:12]}); `portrait-scanner re-embed` brings templates "
                "to the pack in use"
            )


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one image.

    Attributes:
        box: Left, top, right, bottom, pixels.
        landmarks: float32 [5, 2], pixels: left eye, right eye, nose, left and right mouth corner.
        detector_score: 0 to 1.
        yaw, pitch, roll: Of the head, degrees; 0 looks at the camera
            (face_index.faces.alignment.head_poses).
        sharpness: Variance of the Laplacian of the aligned 112x112 grey crop.
        brightness: Mean of the aligned grey crop, 0 to 255.
        clipped: Share of the aligned crop that is pure black or white, 0 to 1.
        embedding: Unit vector of the pack's dimension.
        norm: Length of the embedding before it was made a unit vector; low if the network saw
            little of a face (Meng et al., MagFace, CVPR 2021).
    """

    box: tuple[float, float, float, float]
    landmarks: npt.NDArray[np.float32]
    detector_score: float
    yaw: float
    pitch: float
    roll: float
    sharpness: float
    brightness: float
    clipped: float
    embedding: Vector
    norm: float

    @property
    def eye_distance_px(self) -> float:
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


class FaceReader(Protocol):
    """Finds all faces in images; an empty list means no face, never an error."""

    @property
    def version(self) -> PackVersion:
        """The version that is stored beside each embedding."""

    @property
    def detector_side(self) -> int:
        """The longer side of the detector's input, to which every image is scaled, in pixels."""

    def read(self, images: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each image, largest first."""

    def embed(self, patches: Sequence[Image]) -> list[Vector]:
        """Return the vectors of aligned faces, uint8 [112, 112, 3] RGB, as `read` computes them."""

    def read_batch(self, images: Sequence[Image]) -> list[list[Face]]:
        """Do the same for a few images in the calling thread; several threads may call at once."""


def unit(vector: npt.NDArray[np.floating]) -> Vector:
    """Return the vector scaled to length 1, float32."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)
