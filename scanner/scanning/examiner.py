"""One checkpoint to one verdict: what a worker does, on this machine or on a cluster."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from face_index.faces.face import FaceReader
from face_index.faces.packs import FacePack
from scanner.adapters.loading import SCANNABLE_KINDS
from scanner.errors import NotScannable, ScanError
from scanner.identification.comparison import comparison_of
from scanner.identification.faces import FaceFinder
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Outcome
from scanner.records import FindingRecord, FindingSample, SampleRow, VerdictMethod, VerdictRecord
from scanner.sampling.base_models import BaseModel, Declared, place_of
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import DrawnImage, Sampler, blurred, png_bytes
from scanner.scanning.examination import Examination, Finding, SampleScore
from scanner.scanning.identify_loop import IdentifyLoop

log = logging.getLogger(__name__)

_Keep = Callable[[DrawnImage | None, SamplePlan], str | None]


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """A checkpoint to sample and identify.

    Attributes:
        path: of the file; a worker on another machine must see the same folder.
        triggers: words that may stand in prompts.
        candidates: words to try where no trigger is known.
        problem: why it cannot be sampled, as triage found; None if it can.
        only_load: the file is loaded and never sampled, so that a file that cannot be loaded fails as usual.
    """

    path: Path
    sha256: str
    kind: str
    family: str
    triggers: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    declared: Declared = field(default_factory=Declared)
    problem: str | None = None
    only_load: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """A verdict with the pictures that it names.

    Attributes:
        snapshot_id: of the gallery that was searched (`GallerySnapshot.snapshot_id`).
        images: PNG bytes by SHA-256.
    """

    verdict: VerdictRecord
    snapshot_id: str
    images: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Models:
    """What one worker has loaded; examiners with different snapshots share it."""

    sampler: Sampler | None = None
    missing: dict[BaseModel, ScanError] = field(default_factory=dict)


class CheckpointExaminer:
    """Base models, face reader and gallery of one worker; one base model is loaded at a time.

    An examiner searches one snapshot as long as it lives, so that a verdict names the gallery that was searched.
    """

    def __init__(
        self,
        options: SamplerOptions,
        pack: FacePack,
        reader: FaceReader,
        snapshot: GallerySnapshot,
        policy: Policy,
    ) -> None:
        self.options, self.pack, self.reader = options, pack, reader
        self.snapshot, self.policy = snapshot, policy
        self._models = _Models()

    def with_snapshot(self, snapshot: GallerySnapshot) -> CheckpointExaminer:
        """An examiner with the same models and another gallery."""
        other = CheckpointExaminer(self.options, self.pack, self.reader, snapshot, self.policy)
        other._models = self._models
        return other

    @property
    def base_model(self) -> str | None:
        """Location of the base model that is loaded now."""
        return self._models.sampler.base.location if self._models.sampler else None

    def examine(self, request: SamplingRequest) -> Examined:
        """The verdict on one checkpoint.

        Raises:
            BaseModelMissing, ImageCheckMissing: it cannot be sampled on this machine as it is.
        """
        started = time.monotonic()
        try:
            if request.problem is not None:
                raise NotScannable(request.problem)
            if request.kind not in SCANNABLE_KINDS:
                raise NotScannable(
                    f"sampling {request.kind} files is not supported; "
                    "nothing can be said about this file"
                )
            sampler = self.sampler_for(self.options.base_for(request.family, request.declared))
            if request.only_load:
                with sampler.adapter(request.path, request.kind):
                    verdict = VerdictRecord(str(Outcome.INCONCLUSIVE))
                    return Examined(verdict, self.snapshot.snapshot_id)
            finder = FaceFinder(self.reader, self.pack.bar)
            loop = IdentifyLoop(sampler, finder, self.snapshot, self.policy)
            examination = loop.examine(
                request.path, request.sha256, request.kind, request.triggers, request.candidates
            )
        except NotScannable as error:
            seconds = round(time.monotonic() - started, 2)
            failed = VerdictRecord(str(Outcome.FAILED), str(error), seconds=seconds)
            return Examined(failed, self.snapshot.snapshot_id)
        return self._examined(sampler, examination, time.monotonic() - started)

    def sampler_for(self, base: BaseModel) -> Sampler:
        """The sampler of a base model.

        Raises:
            BaseModelMissing: its files are not here; looked for once and not for each checkpoint.
            ImageCheckMissing: its images could not be checked.
        """
        models = self._models
        if base in models.missing:
            raise models.missing[base]
        if models.sampler is None or models.sampler.base != base:
            models.sampler = None
            try:
                models.sampler = self.options.open_sampler(base)
            except ScanError as error:
                models.missing[base] = error
                raise
        return models.sampler

    def _examined(self, sampler: Sampler, examination: Examination, seconds: float) -> Examined:
        images: dict[str, bytes] = {}

        def keep(image: DrawnImage | None, plan: SamplePlan) -> str | None:
            if image is None:
                return None
            # Nobody has seen these images: unless the base model cannot draw anything unsafe, they are blurred first.
            shown = sampler.base.checked_images or image.flagged
            png = png_bytes(image.picture if shown else blurred(image.picture), plan)
            sha256 = hashlib.sha256(png).hexdigest()
            images[sha256] = png
            return sha256

        verdict = VerdictRecord(
            outcome=str(examination.outcome),
            reason=examination.reason,
            best_score=examination.best_score,
            best_threshold=examination.best_threshold,
            lift=examination.lift,
            samples=len(examination.samples),
            denoiser_calls=examination.seen.denoiser_calls,
            found_trigger=examination.seen.found_trigger,
            seconds=round(seconds, 2),
            findings=tuple(_finding_record(finding, keep) for finding in examination.findings),
            method=self._method(sampler, examination),
            all_samples=tuple(SampleRow(**_sample_fields(one)) for one in examination.samples),
        )
        return Examined(verdict, self.snapshot.snapshot_id, images)

    def _method(self, sampler: Sampler, examination: Examination) -> VerdictMethod:
        base, threshold = sampler.base, self.snapshot.thresholds.match
        return VerdictMethod(
            base_model=f"{base.family}: {place_of(base.location)} ({base.reason})",
            base_model_sha256=sampler.base_sha256,
            comparison=comparison_of(self.pack, self.reader.version, self.snapshot, threshold),
            settings={**sampler.settings, "loaded_by": examination.seen.route},
            threshold=threshold,
            denoiser_calls=examination.seen.denoiser_calls,
            sampled=len(examination.samples),
            with_face=sum(one.observed.face is not None for one in examination.samples),
        )


def _finding_record(finding: Finding, keep: _Keep) -> FindingRecord:
    scored = finding.scored
    return FindingRecord(
        identity_id=finding.identity_id,
        outcome=str(finding.outcome),
        reason=finding.reason,
        score=scored.score,
        interval=scored.interval,
        control_score=scored.control_score,
        lift=scored.lift,
        runner_up=scored.runner_up,
        log10_lr=scored.log10_lr,
        concentration=scored.concentration,
        share=scored.share,
        threshold=finding.thresholds.match,
        possible_threshold=finding.thresholds.possible,
        samples=tuple(_finding_sample(one, keep) for one in finding.samples),
    )


def _finding_sample(one: SampleScore, keep: _Keep) -> FindingSample:
    sample = one.observed.sample
    return FindingSample(
        **_sample_fields(one),
        image_sha256=keep(sample.image, sample.plan),
        control_sha256=keep(sample.control, sample.plan),
        face_found=one.observed.face is not None,
        in_mean=one.in_mean,
    )


def _sample_fields(one: SampleScore) -> dict[str, Any]:
    """The fields of a `SampleRow`."""
    sample = one.observed.sample
    plan, image, control = sample.plan, sample.image, sample.control
    return {
        "stage": plan.stage,
        "number": plan.number,
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt,
        "seed": plan.seed,
        "scale": plan.scale,
        "trigger": plan.trigger,
        "batch": image.batch,
        "control_batch": control.batch if control else None,
        "pixels_sha256": _digest(image),
        "control_pixels_sha256": _digest(control),
        "flagged": image.flagged,
        "quality": round(one.observed.weight, 4),
        "score": one.score,
        "control_score": one.control_score,
    }


def _digest(image: DrawnImage | None) -> str | None:
    return None if image is None else hashlib.sha256(image.picture.tobytes()).hexdigest()
