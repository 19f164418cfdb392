"""The quality that a face needs: large, sharp, turned to the camera, well lit."""

from __future__ import annotations

from dataclasses import dataclass

from face_index.faces.face import Face
from face_index.faces.refusals import Refusal, Why


@dataclass(frozen=True, slots=True)
class QualityBar:
    """The least quality that a face needs. The pack's registry entry sets some of the limits."""

    min_detector_score: float = 0.5
    min_eye_distance_px: float = 16.0
    # In LFW 5 % of the faces turned by 40 to 50 degrees have a cosine under 0.55 to their person,
    # of those turned less under 0.62, of those turned more under 0.41.
    max_yaw_deg: float = 50.0
    max_pitch_deg: float = 40.0
    min_sharpness: float = 8.0  # of the aligned crop; under this even eyes and mouth have no edge
    min_brightness: float = 18.0
    max_brightness: float = 245.0
    max_clipped: float = 0.6
    min_norm: float = 0.0  # 0: the pack's norms were never measured against recognition errors

    def objection(self, face: Face) -> Refusal | None:
        """Return what is wrong with a face, None if it is usable."""
        if face.detector_score < self.min_detector_score:
            return Refusal(Why.UNSURE, {"score": face.detector_score})
        if face.eye_distance_px < self.min_eye_distance_px:
            return Refusal(
                Why.TOO_SMALL, {"found": face.eye_distance_px, "needed": self.min_eye_distance_px}
            )
        if abs(face.yaw) > self.max_yaw_deg:
            return Refusal(Why.TURNED, {"degrees": abs(face.yaw)})
        if abs(face.pitch) > self.max_pitch_deg:
            return Refusal(Why.TILTED, {"degrees": abs(face.pitch)})
        if face.sharpness < self.min_sharpness:
            return Refusal(Why.BLURRED)
        if (
            not self.min_brightness <= face.brightness <= self.max_brightness
            or face.clipped > self.max_clipped
        ):
            return Refusal(Why.LIGHT)
        if face.norm < self.min_norm:
            return Refusal(Why.COVERED)
        return None


# For faces that were accepted before.
ANY_QUALITY = QualityBar(0.0, 0.0, 180.0, 180.0, 0.0, 0.0, 255.0, 1.0)
