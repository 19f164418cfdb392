"""The case: everything known about one verdict, as one typed record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One generated image, its control, and all that is needed to generate both again.

    Attributes:
        prompt, negative_prompt: as given to the pipeline.
        seed: of the CPU generator that made the start noise.
        scale: adapter weight; the control has none.
        image_sha256, control_sha256: of the PNG bytes; None if the image was not kept.
        face_found: a usable face was found in the sample.
        score: cosine of this sample's face to the identity's template, None without a face.
        control_score: the same for the control.
        stage: "evidence", or "screening" for cheap samples.
        number: within its stage; with the stage it names the sample in the scan ledger.
    """

    prompt: str
    negative_prompt: str
    seed: int
    scale: float
    image_sha256: str | None
    control_sha256: str | None
    face_found: bool
    score: float | None
    control_score: float | None
    stage: str = "evidence"
    number: int | None = None


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The file the case is about: hashes, what its header says, where it was listed."""

    file: str
    sha256: str
    weights_hash: str | None
    size_bytes: int
    kind: str
    family: str
    triggers: tuple[str, ...]
    training: dict[str, Any]
    signals: tuple[str, ...]
    hub: str
    listing_url: str
    title: str
    creator: str | None
    published_at: str | None
    downloads: int | None


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """How the verdict was reached, enough to repeat it.

    Attributes:
        gallery_version: counts every change of who is searched.
        gallery_recall: 1 for exact search, else as measured when the index was built.
        fpir: the false positive identification rate the threshold holds.
        calibration: what the threshold was computed from, in words.
        settings: sampler settings by name.
        versions: program and library versions by name.
    """

    base_model: str
    base_model_sha256: str
    face_pack: str
    face_pack_sha256: str
    face_pack_licence: str
    gallery_size: int
    gallery_version: int
    gallery_recall: float
    fpir: float
    calibration: str
    settings: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """One verdict on one checkpoint and one identity.

    Attributes:
        outcome: "match" or "possible"; other outcomes open no case.
        score: cosine of the mean face of the samples to the template.
        interval: 95 % confidence interval of the score over samples.
        control_score: the same mean over the controls, None if they show no face.
        lift: score minus control score.
        log10_lr: log10 of the score's likelihood ratio, None where no genuine scores were calibrated.
        status: "draft" until a named reviewer decides.
    """

    case_id: str
    scan_id: str
    opened_at: str
    outcome: str
    reason: str
    identity_id: str
    identity_name: str
    terms: str
    score: float
    interval: tuple[float, float]
    threshold: float
    possible_threshold: float
    control_score: float | None
    lift: float | None
    checkpoint: CheckpointRecord
    method: MethodRecord
    samples: tuple[SampleRecord, ...]
    log10_lr: float | None = None
    status: str = "draft"


def case_to_dict(case: Case) -> dict[str, Any]:
    """Plain JSON values."""
    return dataclasses.asdict(case)


def case_from_dict(fields: dict[str, Any]) -> Case:
    """The inverse of `case_to_dict`, also after a round trip through JSON."""
    checkpoint = dict(fields["checkpoint"])
    for name in ("triggers", "signals"):
        checkpoint[name] = tuple(checkpoint[name])
    return Case(
        **{
            **fields,
            "interval": tuple(fields["interval"]),
            "checkpoint": CheckpointRecord(**checkpoint),
            "method": MethodRecord(**fields["method"]),
            "samples": tuple(SampleRecord(**sample) for sample in fields["samples"]),
        }
    )
