"""The examination of one checkpoint by a worker, on this machine or on a cluster."""

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
from reports.reasons.reason import Reason
from scanner.adapters.loading import SCANNABLE_KINDS
from scanner.errors import NotScannable, ScanError
from scanner.identification.comparison import comparison_of
from scanner.identification.faces import FaceFinder
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Outcome
from scanner.records import FindingRecord, FindingSample, SampleRow, VerdictMethod, VerdictRecord
from scanner.sampling.base_models import BaseModel, Declared, description_of
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import DrawnImage, Sampler, blurred, png_bytes
from scanner.scanning.conclusion import Conclusion, Finding, SampleScore
from scanner.scanning.identify_loop import IdentifyLoop

log = logging.getLogger(__name__)

_Keep = Callable[[DrawnImage | None, SamplePlan], str | None]


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """A checkpoint to sample and identify.

    Attributes:
        path: path of the file; a worker on another machine must have access to the same folder.
        triggers: words that are allowed in prompts.
        candidates: words that the trigger search tries if no trigger is known.
        problem: why it cannot be sampled, found by triage; None if it can.
        only_load: load the file and do not sample it, so that a file that cannot be loaded fails in
            the same way as others.
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
class WorkerAnswer:
    """A verdict with the pictures that it names.

    Attributes:
        snapshot_id: id of the gallery that was searched (`GallerySnapshot.snapshot_id`).
        images: PNG bytes by SHA-256.
    """

    verdict: VerdictRecord
    snapshot_id: str
    images: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Models:
    """The models that one worker has loaded; identifiers with different snapshots share them."""

    sampler: Sampler | None = None
    missing: dict[BaseModel, ScanError] = field(default_factory=dict)


class CheckpointIdentifier:
    """Examines checkpoints with one base model at a time, a face reader and one gallery.

    An identifier never changes its snapshot, so that a verdict names the gallery that was searched.
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

    def with_snapshot(self, snapshot: GallerySnapshot) -> CheckpointIdentifier:
        """Return an identifier with the same models and another gallery."""
        other = CheckpointIdentifier(self.options, self.pack, self.reader, snapshot, self.policy)
        other._models = self._models
        return other

    @property
    def base_model(self) -> str | None:
        """Location of the loaded base model; None if none is loaded."""
        return self._models.sampler.base.location if self._models.sampler else None

    def identify(self, request: SamplingRequest) -> WorkerAnswer:
        """Examine one checkpoint.

        Raises:
            BaseModelMissing: the base model is not available on this machine.
            ImageCheckMissing: the image check is not available on this machine.
        """
        started = time.monotonic()
        try:
            if request.problem is not None:
                raise NotScannable(request.problem)
            if request.kind not in SCANNABLE_KINDS:
                unsupported = Reason("kind-not-supported", {"kind": request.kind})
                raise NotScannable(unsupported.in_english())
            sampler = self.sampler_for(self.options.base_for(request.family, request.declared))
            if request.only_load:
                with sampler.adapter(request.path, request.kind):
                    verdict = VerdictRecord(str(Outcome.INCONCLUSIVE))
                    return WorkerAnswer(verdict, self.snapshot.snapshot_id)
            finder = FaceFinder(self.reader, self.pack.bar)
            loop = IdentifyLoop(sampler, finder, self.snapshot, self.policy)
            examination = loop.identify(
                request.path, request.sha256, request.kind, request.triggers, request.candidates
            )
        except NotScannable as error:
            seconds = round(time.monotonic() - started, 2)
            failed = VerdictRecord(str(Outcome.FAILED), str(error), seconds=seconds)
            return WorkerAnswer(failed, self.snapshot.snapshot_id)
        return self._examined(sampler, examination, time.monotonic() - started)

    def sampler_for(self, base: BaseModel) -> Sampler:
        """Return the sampler of a base model.

        A failure is remembered, so that files are not searched again for each checkpoint.

        Raises:
            BaseModelMissing: its files are not available.
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

    def _examined(self, sampler: Sampler, examination: Conclusion, seconds: float) -> WorkerAnswer:
        images: dict[str, bytes] = {}

        def keep(image: DrawnImage | None, plan: SamplePlan) -> str | None:
            if image is None:
                return None
            # No reviewer has seen these images, so they are stored blurred unless the base model
            # cannot draw anything unsafe. A flagged image is blurred already.
            as_drawn = sampler.base.checked_images or image.flagged
            png = png_bytes(image.picture if as_drawn else blurred(image.picture), plan)
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
            all_samples=tuple(SampleRow(**_sample_fields(score)) for score in examination.samples),
        )
        return WorkerAnswer(verdict, self.snapshot.snapshot_id, images)

    def _method(self, sampler: Sampler, examination: Conclusion) -> VerdictMethod:
        base, threshold = sampler.base, self.snapshot.thresholds.match
        return VerdictMethod(
            base_model=description_of(base),
            base_model_sha256=sampler.base_sha256,
            comparison=comparison_of(self.pack, self.reader.version, self.snapshot, threshold),
            settings={**sampler.settings, "loaded_by": examination.seen.route},
            threshold=threshold,
            denoiser_calls=examination.seen.denoiser_calls,
            sampled=len(examination.samples),
            with_face=sum(score.observed.face is not None for score in examination.samples),
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
        samples=tuple(_finding_sample(score, keep) for score in finding.samples),
    )


def _finding_sample(score: SampleScore, keep: _Keep) -> FindingSample:
    sample = score.observed.sample
    return FindingSample(
        **_sample_fields(score),
        image_sha256=keep(sample.image, sample.plan),
        control_sha256=keep(sample.control, sample.plan),
        face_found=score.observed.face is not None,
        in_mean=score.in_mean,
    )


def _sample_fields(score: SampleScore) -> dict[str, Any]:
    """Return the fields of a `SampleRow`."""
    sample = score.observed.sample
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
        "quality": round(score.observed.weight, 4),
        "score": score.score,
        "control_score": score.control_score,
    }


def _digest(image: DrawnImage | None) -> str | None:
    return None if image is None else hashlib.sha256(image.picture.tobytes()).hexdigest()
