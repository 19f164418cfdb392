"""The records of a checkpoint and its samples in a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One generated image, its control, and all that is needed to generate both again.

    Attributes:
        prompt, negative_prompt: as given to the pipeline.
        seed: of the CPU generator that made the start noise.
        scale: adapter weight; the control has none.
        steps: denoising steps; None for those of the method's settings.
        size_share: width and height, as a share of those of the method's settings.
        companions: SHA-256 of the files that were loaded beside the checkpoint, with this scale.
        image_sha256, control_sha256: of the PNG bytes; None if the image was not kept.
        face_found: a usable face was found in the sample.
        score: cosine of this sample's face to the identity's template, None without a face.
        control_score: the same for the control.
        stage: "evidence", or "screening" for cheap samples.
        number: within its stage; with the stage it names the sample in the scan ledger.
        trigger: the word in the prompt, None for a prompt without one.
        batch, control_batch: images of one batch influence each other in a float's last bit.
        pixels_sha256, control_pixels_sha256: of the uint8 RGB pixels, flagged ones blurred, before
            any further blur for storage.
        flagged: the image safety check called it unsafe; it is stored only blurred.
        quality: weight of its face in the mean, 0 to 1.
        in_mean: its face is one of those whose mean gave the case's score.
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
    trigger: str | None = None
    batch: int | None = None
    control_batch: int | None = None
    pixels_sha256: str | None = None
    control_pixels_sha256: str | None = None
    flagged: bool = False
    quality: float | None = None
    in_mean: bool = True
    steps: int | None = None
    size_share: float = 1.0
    companions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened to a listing. `at` is UTC, ISO 8601; `what` a word of
    crawlers.sweeps.events or "seen".
    """

    at: str
    what: str
    detail: str = ""
    downloads: int | None = None


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """What a hub answered about a listing, kept as it came.

    Attributes:
        url: of the listing.
        seen_at: when it was received, UTC; None if that was not recorded.
        sha256: of the body, which is UTF-8 JSON or text.
    """

    url: str
    seen_at: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The file the case is about: hashes, what its header says, where it was listed.

    Attributes:
        weights_hash: SHA-256 of the tensor bytes (AutoV3 is its beginning; AutoV2 that of
            `sha256`).
        training: what the trainer wrote into the header (kohya's ss_ keys, in plain names).
        header_sha256: of the safetensors header's JSON, kept with the evidence.
        declared_base_model: as header or listing name it.
    """

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
    listing_id: str | None = None
    declared_base_model: str | None = None
    header_sha256: str | None = None
    timeline: tuple[TimelineEvent, ...] = ()
    captures: tuple[HubAnswer, ...] = ()
