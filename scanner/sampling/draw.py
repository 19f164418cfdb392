"""Samples with their faces: what the sampler makes and what the face reader finds in it. In memory only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from face_index.faces.face import Face, FaceReader
from face_index.faces.quality import QualityBar
from scanner.errors import UnfaithfulLoad
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import Made, Sampler

# Sharpness beyond which a face is as good as any, as a multiple of what the bar asks for.
_SHARP_ENOUGH = 4.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One sample, the face in it, and its control where one was made.

    Attributes:
        face: the largest usable face, None without one.
        quality: 0 to 1, how much the face says; 0 without one.
    """

    plan: SamplePlan
    made: Made
    face: Face | None
    quality: float
    control: Made | None = None
    control_face: Face | None = None


class Studio:
    """Sampler and face reader together; faces are read while controls are drawn."""

    def __init__(self, sampler: Sampler, reader: FaceReader, bar: QualityBar) -> None:
        self.sampler, self._reader, self._bar = sampler, reader, bar

    def shoot(self, plans: Sequence[SamplePlan], *, with_controls: bool) -> list[Shot]:
        """Make samples, and their controls if asked."""
        with ThreadPoolExecutor(1) as eyes:
            made = self.sampler.generate(plans, with_adapter=True)
            reading = eyes.submit(self._faces, made)
            controls = self.sampler.generate(plans, with_adapter=False) if with_controls else []
            faces = reading.result()
        control_faces = self._faces(controls)
        return [
            Shot(
                plan,
                one,
                face,
                self._quality(face),
                controls[number] if with_controls else None,
                control_faces[number] if with_controls else None,
            )
            for number, (plan, one, face) in enumerate(zip(plans, made, faces, strict=True))
        ]

    def must_have_effect(self, plan: SamplePlan) -> None:
        """Raise UnfaithfulLoad if one denoising step is the same with and without the checkpoint."""
        with_it, without = (self.sampler.one_step([plan], with_adapter=on) for on in (True, False))
        if np.array_equal(with_it, without):
            raise UnfaithfulLoad(
                "the images are the same with and without the file: it has no effect on the base model"
            )
        if not np.isfinite(with_it).all():
            raise UnfaithfulLoad(
                "with this file the base model draws nothing but numbers that are not finite"
            )

    def _faces(self, made: Sequence[Made]) -> list[Face | None]:
        # What was blurred shows no face that could be used; it is not even looked at.
        clean = [number for number, one in enumerate(made) if not one.flagged]
        found: list[Face | None] = [None] * len(made)
        for number, faces in zip(
            clean, self._reader.read([made[number].picture for number in clean]), strict=True
        ):
            usable = [face for face in faces if self._bar.objection(face) is None]
            found[number] = usable[0] if usable else None
        return found

    def _quality(self, face: Face | None) -> float:
        """How much a face says: what the detector is sure of, times sharpness up to what is sharp enough."""
        if face is None:
            return 0.0
        sharp = min(1.0, face.sharpness / max(_SHARP_ENOUGH * self._bar.min_sharpness, 1e-9))
        return face.detector_score * (0.5 + 0.5 * sharp)
