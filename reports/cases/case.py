"""The case: everything known about one verdict, as one typed record. Nothing is in a report that is not in here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = "portrait-scanner case 1"


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
        trigger: the word in the prompt, None for a prompt without one.
        batch, control_batch: images of one batch influence each other in a float's last bit.
        pixels_sha256, control_pixels_sha256: of the uint8 RGB pixels, flagged ones blurred, before any further blur for storage.
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


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened to a listing. `at` is UTC, ISO 8601; `what` a word of crawlers.events or "seen"."""

    at: str
    what: str
    detail: str = ""
    downloads: int | None = None


@dataclass(frozen=True, slots=True)
class Capture:
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
        weights_hash: SHA-256 of the tensor bytes (AutoV3 is its beginning; AutoV2 that of `sha256`).
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
    captures: tuple[Capture, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """A page or picture that somebody captured; the sealed original lies in the bundle.

    Attributes:
        sha256: of the original.
        capture_id: names its sealed folder; the same, but where other files belong to it.
        checks: what of its own digests and signatures holds, in sentences.
    """

    sha256: str
    name: str
    format: str
    taken_in_at: str
    taken_in_by: str
    tool: str | None
    made_with: str | None
    checks: tuple[str, ...] = ()
    capture_id: str = ""


@dataclass(frozen=True, slots=True)
class SightedPage:
    """A captured page that shows the person: what it says of itself, unverified.

    Attributes:
        kind: "offer", "post", "account" or "page".
        saved_at: as the capture says.
        counts: what the page counts, by name.
    """

    url: str | None
    title: str
    kind: str
    saved_at: str | None
    published_at: str | None
    price: str | None
    counts: dict[str, int]
    text: str
    capture_sha256: str


@dataclass(frozen=True, slots=True)
class SightedImage:
    """A captured image.

    Attributes:
        sha256: of the file as it was captured.
        face_sha256: of a PNG with nothing but the face, None without one.
        pages: numbers of the pages it stands on, in the case's order.
        copies: how often it comes, near-duplicates counted (PDQ).
        faces: how many it shows.
        score: cosine of its closest face to the person's template.
        in_mean: that face is one of those whose mean gave the case's score.
        says: where the file says it comes from: what about (see crawlers.saved.provenance) and what.
    """

    sha256: str
    face_sha256: str | None
    url: str | None
    pages: tuple[int, ...]
    copies: int
    faces: int
    score: float | None
    in_mean: bool
    says: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TieRecord:
    """What ties the pages or images to a checkpoint: a hash or a name that they write, a link that they hold.

    Attributes:
        said: what they write.
        where: "image" or "page".
        sha256: of the checkpoint, None where only its listing is known.
    """

    said: str
    where: str
    file: str
    hub: str
    listing_url: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SightingRecord:
    """An account or a captured page whose images show the person; a case about one has this instead of samples.

    Attributes:
        platform: the site.
        images_read: distinct images looked at.
        faces_read: usable faces in them.
    """

    platform: str
    account_name: str | None
    account_id: str | None
    account_url: str | None
    pages: tuple[SightedPage, ...]
    images: tuple[SightedImage, ...]
    captures: tuple[CaptureRecord, ...]
    ties: tuple[TieRecord, ...]
    images_read: int
    faces_read: int


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
        calibration_sha256: of the calibration's canonical JSON; names the calibration set.
        calibration_subjects, calibration_comparisons: persons and impostor comparisons behind it.
        cllr, cllr_min: of the likelihood ratios on held-out scores, bits.
        fpir_interval: 95 % interval of the FPIR at the threshold: who happened to be in the calibration set.
        impostor_rates: cosine and the share of impostor comparisons at or above it.
        denoiser_calls: forward passes of the denoiser, controls included.
        sampled, with_face: images made with the checkpoint, and those with a usable face.
    """

    base_model: str
    base_model_sha256: str | None
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
    calibration_sha256: str | None = None
    calibration_subjects: int | None = None
    calibration_comparisons: int | None = None
    cllr: float | None = None
    cllr_min: float | None = None
    fpir_interval: tuple[float, float] | None = None
    impostor_rates: tuple[tuple[float, float], ...] = ()
    denoiser_calls: int | None = None
    sampled: int | None = None
    with_face: int | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """The machine the samples were made on (取证环境清洁性检查; Online Litigation Rules of the PRC art. 17, ISO/IEC 27037).

    Attributes:
        checked_at: UTC.
        operator: who ran the scan (取证人).
        clock_synchronised: as the system's time service says; None if it does not.
        hosts_entries: lines of the hosts file beyond the machine's own names.
        proxies: names of proxy variables that are set; their values may hold secrets.
        tool_sha256: over the program's own source files.
        accelerator: GPU and driver, None without one.
    """

    checked_at: str
    operator: str
    system: str
    machine: str
    python: str
    clock_source: str | None
    clock_synchronised: bool | None
    name_servers: tuple[str, ...]
    hosts_sha256: str | None
    hosts_entries: int | None
    proxies: tuple[str, ...]
    tool: str
    tool_sha256: str
    accelerator: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line in a case's own log, which is only ever added to.

    Attributes:
        number: over all cases, rising.
        kind: "review", "appeal", "correction", "notice", "request", "listing", "reopens" or "superseded".
        actor: who, as they named themselves.
        details: facts; what they are depends on the kind.
    """

    number: int
    at: str
    kind: str
    actor: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CustodyEntry:
    """A line of the vault's audit log about this case; `sha256` chains it to the line before."""

    number: int
    at: str
    actor: str
    event: str
    details: dict[str, Any]
    sha256: str


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
        status: "draft" until a named reviewer decides; see reports.review.
        concentration: length of the mean of the faces' unit vectors, 1 if all are one face.
        runner_up: score of the next identity.
        share: of the samples with a face, those that show this one face, 0 to 1.
        authorisation: what was checked before the case was opened, in words.
        entries: reviews, appeals, corrections, notices, as they stood when the case was read.
        custody: the audit log's lines about this case.
        sighting: what was captured, for a case about an account or a page; `checkpoint` then names the account, and there are no samples.
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
    concentration: float | None = None
    runner_up: float | None = None
    share: float | None = None
    authorisation: str = ""
    environment: EnvironmentRecord | None = None
    entries: tuple[Entry, ...] = ()
    custody: tuple[CustodyEntry, ...] = ()
    sighting: SightingRecord | None = None
    schema: str = SCHEMA


def case_to_dict(case: Case) -> dict[str, Any]:
    """Plain JSON values."""
    return dataclasses.asdict(case)


def case_from_dict(fields: dict[str, Any]) -> Case:
    """The inverse of `case_to_dict`, also after a round trip through JSON.

    Raises:
        pydantic.ValidationError: a field is missing or of another type.
    """
    return _case_adapter().validate_python(fields)


@cache
def _case_adapter() -> TypeAdapter[Case]:
    from pydantic import (
        TypeAdapter,
    )  # building it takes tens of milliseconds, importing pydantic longer

    return TypeAdapter(Case)
