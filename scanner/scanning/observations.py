"""Samples and the faces in them. They exist in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from face_index.faces.face import Face
from scanner.identification.faces import FaceFinder
from scanner.sampling.draw import Sample, draw_samples
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import DrawnImage, Sampler


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

    @property
    def plan(self) -> SamplePlan:
        """The plan that the sample was drawn from."""
        return self.sample.plan


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


def usable(observed: Sequence[ObservedSample]) -> list[int]:
    """Return the positions of the samples with a usable face."""
    return [number for number, sample in enumerate(observed) if sample.face is not None]
