"""Samples and the faces in them. They exist in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from face_index.faces.alignment import face_patch
from face_index.faces.face import Face
from scanner.identification.faces import FaceFinder
from scanner.identification.samples import SampleFace
from scanner.sampling.draw import Sample, draw_samples
from scanner.sampling.drawings import DrawnSample, pixels_sha256
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import DrawnImage, Pixels, Sampler


@dataclass(frozen=True, slots=True)
class ObservedSample:
    """One sample and the faces in it and in its control.

    Attributes:
        face: the largest usable face, None without one.
        weight: weight of that face in a mean, 0 to 1; 0 without a face.
        control_face: the largest usable face in the control, None without one.
    """

    sample: Sample
    face: Face | None
    weight: float
    control_face: Face | None = None

    def as_sample_face(self) -> SampleFace:
        """Return the part that identification knows."""
        plan, face, control = self.sample.plan, self.face, self.control_face
        return SampleFace(
            plan.trigger,
            plan.scale,
            face is not None,
            None if face is None else face.embedding,
            self.weight,
            None if control is None else control.embedding,
        )

    def patches(self) -> dict[bool, Pixels]:
        """Return the aligned faces; True stands for the control's."""
        image, control = self.sample.image, self.sample.control
        found = {}
        if self.face is not None:
            found[False] = face_patch(image.picture, self.face.landmarks)
        if control is not None and self.control_face is not None:
            found[True] = face_patch(control.picture, self.control_face.landmarks)
        return found

    def as_drawn_sample(self) -> DrawnSample:
        """Return the record of the sample, without pictures and vectors."""
        image, control = self.sample.image, self.sample.control
        return DrawnSample(
            self.sample.plan,
            image.batch,
            None if control is None else control.batch,
            pixels_sha256(image),
            None if control is None else pixels_sha256(control),
            image.flagged,
            self.face is not None,
            self.control_face is not None,
            self.weight,
        )


@dataclass(frozen=True, slots=True)
class SampleObserver:
    """Draws samples and reads their faces; it reads faces while controls are drawn."""

    sampler: Sampler
    finder: FaceFinder

    def observe(self, plans: Sequence[SamplePlan], *, with_controls: bool) -> list[ObservedSample]:
        """Draw samples and optionally their controls, and read the faces in them."""
        reading: list[Future[list[Face | None]]] = []
        with ThreadPoolExecutor(1) as reader:
            samples = draw_samples(
                self.sampler,
                plans,
                with_controls=with_controls,
                on_drawn=lambda images: reading.append(reader.submit(self._faces, images)),
            )
            faces = reading[0].result()
        controls = [sample.control for sample in samples if sample.control is not None]
        control_faces = self._faces(controls) if controls else [None] * len(samples)
        return [
            ObservedSample(sample, face, self.finder.weight(face), control_face)
            for sample, face, control_face in zip(samples, faces, control_faces, strict=True)
        ]

    def _faces(self, images: Sequence[DrawnImage]) -> list[Face | None]:
        return self.finder.usable_faces(
            [image.picture for image in images], [image.flagged for image in images]
        )
