"""Samples and the faces in them. Vectors and pictures exist in memory only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from face_index.faces.alignment import face_patch
from face_index.faces.face import Face, Vector
from scanner.identification.faces import FaceFinder
from scanner.identification.samples import CheckpointFaces, SampleFace
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
            drawn.plan.question,
            drawn.has_face,
            self.vectors.get(False),
            drawn.weight,
            drawn.control_batch is not None,
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
        return faces_of(self.screening, self.confirmation, self.drawing.doubts)

    @property
    def lacks_pictures(self) -> bool:
        """Whether no case keeps the picture of a sample of confirmation or of its control.

        A case does without pictures of screening that were not drawn for it: confirmation answers
        the same question at full quality, and the record tells how to draw them again.
        """
        return any(
            sample.lacks_picture(is_control=is_control)
            for sample in self.confirmation
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
    screening: Sequence[Sequence[ObservedSample]],
    confirmation: Sequence[ObservedSample],
    doubts: Sequence[str] = (),
) -> CheckpointFaces:
    """Return what identification knows of samples.

    Args:
        doubts: why nobody found does not mean that the file shows nobody, as English sentences.
    """
    return CheckpointFaces(
        tuple(tuple(sample.as_sample_face() for sample in samples) for samples in screening),
        tuple(sample.as_sample_face() for sample in confirmation),
        tuple(doubts),
    )


@dataclass(frozen=True, slots=True)
class SampleObserver:
    """Draws samples and controls, and reads the faces in them."""

    sampler: ImageGenerator
    finder: FaceFinder

    def observe(self, plans: Sequence[SamplePlan]) -> list[ObservedSample]:
        """Draw samples and read the faces in them."""
        images = self.sampler.generate(plans, with_adapter=True)
        return [
            self._observed(plan, image, face)
            for plan, image, face in zip(plans, images, self._faces(images), strict=True)
        ]

    def with_controls(self, samples: Sequence[ObservedSample]) -> list[ObservedSample]:
        """Draw the controls of samples and read the faces in them."""
        plans = [sample.drawn.plan for sample in samples]
        controls = self.sampler.generate(plans, with_adapter=False)
        return [
            _with_control(sample, control, face)
            for sample, control, face in zip(samples, controls, self._faces(controls), strict=True)
        ]

    def _observed(self, plan: SamplePlan, image: DrawnImage, face: Face | None) -> ObservedSample:
        drawn = DrawnSample(
            plan=plan,
            batch=image.batch,
            control_batch=None,
            pixels_sha256=pixels_sha256(image),
            control_pixels_sha256=None,
            flagged=image.flagged,
            has_face=face is not None,
            control_has_face=False,
            weight=self.finder.weight(face),
        )
        return _with_face(ObservedSample(drawn, {}, {}), image, face, is_control=False)

    def _faces(self, images: Sequence[DrawnImage]) -> list[Face | None]:
        return self.finder.usable_faces(
            [image.picture for image in images], [image.flagged for image in images]
        )


def _with_control(sample: ObservedSample, control: DrawnImage, face: Face | None) -> ObservedSample:
    drawn = replace(
        sample.drawn,
        control_batch=control.batch,
        control_pixels_sha256=pixels_sha256(control),
        control_has_face=face is not None,
    )
    return _with_face(replace(sample, drawn=drawn), control, face, is_control=True)


def _with_face(
    sample: ObservedSample, image: DrawnImage, face: Face | None, *, is_control: bool
) -> ObservedSample:
    """Return a sample with a picture and the face in it."""
    sample = replace(sample, images={**sample.images, is_control: image})
    if face is None:
        return sample
    return replace(
        sample,
        vectors={**sample.vectors, is_control: face.embedding},
        patches={**sample.patches, is_control: face_patch(image.picture, face.landmarks)},
    )
