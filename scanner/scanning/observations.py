"""Samples and the faces in them. Vectors and pictures exist in memory only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

from face_index.faces.alignment import face_patch
from face_index.faces.face import Face, Vector
from scanner.identification.faces import FaceFinder
from scanner.identification.samples import CheckpointFaces, SampleFace
from scanner.sampling.draw import Sample, draw_samples
from scanner.sampling.drawings import Drawing, DrawnSample, pixels_sha256
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import DrawnImage, Pixels
from scanner.sampling.plans import SamplePlan


@dataclass(frozen=True, slots=True)
class ObservedSample:
    """One sample and the faces in it and in its control.

    In the mappings, False stands for the sample and True for its control.

    Attributes:
        drawn: the record of the sample.
        vectors: of the largest usable faces.
        patches: aligned faces.
        images: the pictures; those of a sample that was drawn earlier are gone.
        pictures: SHA-256 of the PNG files that cases keep of a sample that was drawn earlier.
    """

    drawn: DrawnSample
    vectors: Mapping[bool, Vector] = field(repr=False)
    patches: Mapping[bool, Pixels] = field(repr=False)
    images: Mapping[bool, DrawnImage] = field(default_factory=dict, repr=False)
    pictures: Mapping[bool, str] = field(default_factory=dict)

    def as_sample_face(self) -> SampleFace:
        """Return the part that identification knows."""
        drawn = self.drawn
        return SampleFace(
            drawn.plan.trigger,
            drawn.plan.scale,
            drawn.has_face,
            self.vectors.get(False),
            drawn.weight,
            self.vectors.get(True),
        )

    def batch(self, *, is_control: bool) -> int | None:
        """Return the number of the batch of the sample or of its control; None without one."""
        return self.drawn.control_batch if is_control else self.drawn.batch

    def lacks_picture(self, *, is_control: bool) -> bool:
        """Whether neither the picture nor a PNG file of it exists."""
        known = is_control in self.images or is_control in self.pictures
        return self.batch(is_control=is_control) is not None and not known

    def with_image(self, image: DrawnImage, *, is_control: bool) -> ObservedSample | None:
        """Return the sample with a picture that was drawn again; None if it is another picture."""
        sha256 = self.drawn.control_pixels_sha256 if is_control else self.drawn.pixels_sha256
        if pixels_sha256(image) != sha256:
            return None
        return replace(self, images={**self.images, is_control: image})


@dataclass(frozen=True, slots=True)
class KnownSamples:
    """The samples of one checkpoint that were drawn before.

    Attributes:
        drawing: their record.
        observed: in the order of `drawing.samples`.
        drawn_at: when the first of them were drawn.
    """

    drawing: Drawing
    observed: tuple[ObservedSample, ...]
    drawn_at: datetime

    @property
    def screening(self) -> list[list[ObservedSample]]:
        """The rounds of screening."""
        samples = iter(self.observed)
        return [[next(samples) for _ in each] for each in self.drawing.screening]

    @property
    def confirmation(self) -> list[ObservedSample]:
        """The samples of confirmation."""
        return list(self.observed[sum(map(len, self.drawing.screening)) :])

    @property
    def faces(self) -> CheckpointFaces:
        """The faces in them."""
        return faces_of(self.screening, self.confirmation)

    @property
    def lacks_pictures(self) -> bool:
        """Whether the picture of a sample or a control is kept by no case."""
        return any(
            sample.lacks_picture(is_control=is_control)
            for sample in self.observed
            for is_control in (False, True)
        )

    @property
    def batches(self) -> int:
        """The highest number of a batch."""
        batches = (
            sample.batch(is_control=is_control) or 0
            for sample in self.observed
            for is_control in (False, True)
        )
        return max(batches, default=0)


def faces_of(
    screening: Sequence[Sequence[ObservedSample]], confirmation: Sequence[ObservedSample]
) -> CheckpointFaces:
    """Return what identification knows of samples."""
    return CheckpointFaces(
        tuple(tuple(sample.as_sample_face() for sample in samples) for samples in screening),
        tuple(sample.as_sample_face() for sample in confirmation),
    )


@dataclass(frozen=True, slots=True)
class SampleObserver:
    """Draws samples and reads their faces; it reads faces while controls are drawn."""

    sampler: ImageGenerator
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
            self._observed(sample, face, control_face)
            for sample, face, control_face in zip(samples, faces, control_faces, strict=True)
        ]

    def _observed(
        self, sample: Sample, face: Face | None, control_face: Face | None
    ) -> ObservedSample:
        images = {False: sample.image}
        if sample.control is not None:
            images[True] = sample.control
        faces = {False: face, True: control_face}
        found = {is_control: one for is_control, one in faces.items() if one is not None}
        return ObservedSample(
            _record(sample, found, self.finder.weight(face)),
            {is_control: one.embedding for is_control, one in found.items()},
            {
                is_control: face_patch(images[is_control].picture, one.landmarks)
                for is_control, one in found.items()
            },
            images,
        )

    def _faces(self, images: Sequence[DrawnImage]) -> list[Face | None]:
        return self.finder.usable_faces(
            [image.picture for image in images], [image.flagged for image in images]
        )


def _record(sample: Sample, faces: Mapping[bool, Face], weight: float) -> DrawnSample:
    image, control = sample.image, sample.control
    return DrawnSample(
        sample.plan,
        image.batch,
        None if control is None else control.batch,
        pixels_sha256(image),
        None if control is None else pixels_sha256(control),
        image.flagged,
        False in faces,
        True in faces,
        weight,
    )
