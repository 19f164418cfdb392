"""Records of findings and of the samples that they rest on.

`from_json` reads what scans.db stores. Fields that an earlier version did not write have defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from reports.cases.checkpoint_record import SampleRecord
from reports.cases.method_record import SecondOpinion

Record = TypeVar("Record")


def known_fields(record_type: type[Record], record: Mapping[str, Any]) -> Record:
    """Return a record from JSON values; keys that it does not have are ignored."""
    names = {field.name for field in fields(record_type)}  # type: ignore[arg-type]
    return record_type(**{name: value for name, value in record.items() if name in names})


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample of a checkpoint, with all that is needed to draw it again.

    Attributes:
        stage: "screening" or "evidence" (confirmation).
        number: within its stage.
        scale: adapter weight.
        steps: denoising steps; None for those of the stage.
        size_share: width and height, as a share of those of the stage.
        companions: SHA-256 of the files that were loaded beside the checkpoint.
        batch, control_batch: images of one batch agree to the byte only if they are drawn together.
        pixels_sha256, control_pixels_sha256: of the uint8 RGB pixels; None without an image.
        flagged: the image check called it unsafe.
        quality: weight of its face in a mean, 0 to 1.
        score, control_score: cosine to the closest identity; None without a face or an identity.
    """

    stage: str
    number: int
    prompt: str
    negative_prompt: str
    seed: int
    scale: float
    trigger: str | None
    batch: int
    control_batch: int | None
    pixels_sha256: str | None
    control_pixels_sha256: str | None
    flagged: bool
    quality: float
    score: float | None
    control_score: float | None
    steps: int | None = None
    size_share: float = 1.0
    companions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSample(SampleRow):
    """A sample scored against the identity of a finding.

    Attributes:
        image_sha256, control_sha256: of the PNG files that are kept; None without one.
        face_found: it shows a usable face.
        in_mean: that face is one of those whose mean was searched.
    """

    image_sha256: str | None
    control_sha256: str | None
    face_found: bool
    in_mean: bool

    def as_case_sample(self) -> SampleRecord:
        """The sample as a case holds it."""
        return SampleRecord(**asdict(self))


def _finding_sample(record: Mapping[str, Any]) -> FindingSample:
    companions = tuple(record.get("companions", ()))
    return known_fields(FindingSample, {**record, "companions": companions})


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """One identity that matched or possibly matched.

    `Scored` and `Thresholds` describe the numbers.
    """

    identity_id: str
    outcome: str
    reason: str
    score: float
    interval: tuple[float, float]
    control_score: float | None
    lift: float | None
    runner_up: float | None
    log10_lr: float | None
    concentration: float
    share: float
    threshold: float
    possible_threshold: float
    samples: tuple[FindingSample, ...]
    second_opinion: SecondOpinion | None = None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> FindingRecord:
        samples = tuple(_finding_sample(sample) for sample in record["samples"])
        interval = (record["interval"][0], record["interval"][1])
        opinion = record.get("second_opinion")
        second = known_fields(SecondOpinion, opinion) if opinion else None
        found = {"interval": interval, "samples": samples, "second_opinion": second}
        return known_fields(cls, {**record, **found})
