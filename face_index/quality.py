"""Why a face is refused: too small, too blurred, turned away, too dark. Each reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from face_index.face import Face


@dataclass(frozen=True, slots=True)
class QualityBar:
    """What a face must reach to count. The pack's registry entry sets the sizes it was made for."""

    min_detector_score: float = 0.5
    min_eye_distance_px: float = 16.0
    max_yaw: float = 0.42  # eye distances; about 40 degrees, past which one eye starts to hide
    min_sharpness: float = 8.0  # of the aligned crop; under this even eyes and mouth have no edge
    min_brightness: float = 18.0
    max_brightness: float = 245.0

    def objection(self, face: Face) -> str | None:
        """A sentence saying what is wrong and what to do, None if nothing is."""
        if face.detector_score < self.min_detector_score:
            return f"the detector is unsure that this is a face ({face.detector_score:.2f}); use a clearer photo"
        if face.eye_distance_px < self.min_eye_distance_px:
            return f"the face is too small ({face.eye_distance_px:.0f} px between the eyes, {self.min_eye_distance_px:.0f} needed); use a larger photo"
        if abs(face.yaw) > self.max_yaw:
            return "the face is turned too far to the side; use a photo that looks at the camera"
        if face.sharpness < self.min_sharpness:
            return "the face is blurred; use a sharper photo"
        if not self.min_brightness <= face.brightness <= self.max_brightness:
            return "the face is too dark or too bright; use a photo with even light"
        return None
