"""What a checkpoint draws: its samples in records, without any picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from scanner.sampling.images import DrawnImage
from scanner.sampling.plans import SamplePlan


@dataclass(frozen=True, slots=True)
class DrawnSample:
    """One sample as it was drawn, and the quality of the face in it.

    Attributes:
        batch, control_batch: images of one batch agree to the byte only if they are drawn together.
        pixels_sha256, control_pixels_sha256: of the uint8 RGB pixels; None without a control.
        flagged: the image check called it unsafe.
        has_face, control_has_face: whether it shows a usable face.
        weight: weight of the face in a mean, 0 to 1; 0 without one.
    """

    plan: SamplePlan
    batch: int
    control_batch: int | None
    pixels_sha256: str
    control_pixels_sha256: str | None
    flagged: bool
    has_face: bool
    control_has_face: bool
    weight: float

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> DrawnSample:
        plan = {**record["plan"], "companions": tuple(record["plan"].get("companions", ()))}
        return cls(**{**record, "plan": SamplePlan(**plan)})


@dataclass(frozen=True, slots=True)
class Drawing:
    """The samples of one checkpoint and how they were drawn.

    Attributes:
        screening: the rounds of screening, in order.
        confirmation: samples of confirmation, in order.
        found_trigger: a word that the trigger search found, None if it found none or did not run.
        denoiser_calls: forward passes of the denoiser for all images, controls included, and for
            images that were drawn again.
        draws_one_face: whether faces of screening are the same again and again, without which
            nobody can be found.
        base_model: description of the base model.
        base_model_sha256: SHA-256 of its weights.
        settings: sampler settings by name, and how the file was loaded.
        doubts: why nobody found does not mean that the file shows nobody, as English sentences.
    """

    screening: tuple[tuple[DrawnSample, ...], ...]
    confirmation: tuple[DrawnSample, ...]
    found_trigger: str | None
    denoiser_calls: int
    draws_one_face: bool
    base_model: str
    base_model_sha256: str | None
    settings: dict[str, Any]
    doubts: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[DrawnSample, ...]:
        """All samples, those of screening first."""
        return (*(sample for each in self.screening for sample in each), *self.confirmation)

    def places(self, *, only_screening: bool = False) -> set[tuple[int, bool]]:
        """Return where there are usable faces.

        A place is a position in `samples`, and whether the control is meant.
        """
        return {
            (number, is_control)
            for number, sample in enumerate(self.samples)
            if not only_screening or sample.plan.stage == "screening"
            for is_control, has_face in (
                (False, sample.has_face),
                (True, sample.control_has_face),
            )
            if has_face
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Drawing:
        names = {field.name for field in fields(cls)}
        rounds = tuple(
            tuple(map(DrawnSample.from_json, samples)) for samples in record["screening"]
        )
        confirmation = tuple(map(DrawnSample.from_json, record["confirmation"]))
        known = {name: value for name, value in record.items() if name in names}
        doubts = tuple(record.get("doubts", ()))
        return cls(**{**known, "screening": rounds, "confirmation": confirmation, "doubts": doubts})


def pixels_sha256(image: DrawnImage) -> str:
    """Return the SHA-256 of an image's uint8 RGB pixels, lower-case hex."""
    return hashlib.sha256(image.picture.tobytes()).hexdigest()
