"""One checkpoint to one verdict, with nothing but memory and the models: what a GPU worker does, here or on a cluster."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from face_index.face import FaceReader, Prototypes
from face_index.faiss_gallery import IndexKind
from face_index.packs import FacePack
from scanner.adapters.loading import SCANNABLE_KINDS
from scanner.base_models import BaseModel, Declared, choose_base_model, place_of
from scanner.comparison import comparison_record
from scanner.errors import NotScannable, ScanError
from scanner.examination import Budget, Examination, Examiner, Finding, SampleScore
from scanner.image_check import image_check_for
from scanner.prompts import SamplePlan
from scanner.reception import open_calibration, open_pack, open_reader
from scanner.sampling import Made, Sampler, blurred, png_bytes
from scanner.settings import Settings
from scanner.verdict import Outcome
from scanner.watch import Watch, watch_over

log = logging.getLogger(__name__)

_Keep = Callable[[Made | None, SamplePlan], str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """A checkpoint to judge.

    Attributes:
        path: where the file lies; a worker elsewhere must see the same folder.
        triggers: words that may stand in prompts.
        candidates: words to try where no trigger is known.
        problem: why it cannot be judged, found out before; None if it can.
        only_load: nothing of it may be sampled: it is loaded and let go, so that what cannot be loaded fails as it always does.
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
class Judgement:
    """A verdict as plain values.

    Attributes:
        record: what the ledger keeps; JSON values, pictures named by SHA-256.
        snapshot: names the gallery that was searched (`Watch.snapshot`).
        images: PNG bytes of those pictures.
    """

    record: dict[str, Any]
    snapshot: str
    images: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Models:
    """What one worker has loaded; benches that look for different people share it."""

    sampler: Sampler | None = None
    missing: dict[BaseModel, ScanError] = field(default_factory=dict)


class Bench:
    """Base models, face reader and gallery of one worker; one base model is held at a time.

    A bench looks for the same people as long as it lives, so that a verdict names the gallery that was searched.
    """

    def __init__(self, settings: Settings, pack: FacePack, reader: FaceReader, watch: Watch, budget: Budget) -> None:
        self.settings, self.pack, self.reader, self.budget = settings, pack, reader, budget
        self.watch = watch
        self._models = _Models()

    def looking_for(self, watch: Watch) -> Bench:
        """A bench with the same models, for one task after somebody entered or left the gallery."""
        other = Bench(self.settings, self.pack, self.reader, watch, self.budget)
        other._models = self._models
        return other

    @property
    def base_model(self) -> str | None:
        """Where the base model that is held now came from."""
        return self._models.sampler.base.location if self._models.sampler else None

    def judge(self, task: Task) -> Judgement:
        """The verdict on one checkpoint.

        Raises:
            BaseModelMissing, ImageCheckMissing: it cannot be judged on this machine as it is.
        """
        started = time.monotonic()
        try:
            if task.problem is not None:
                raise NotScannable(task.problem)
            if task.kind not in SCANNABLE_KINDS:
                raise NotScannable(f"sampling {task.kind} files is not supported; nothing can be said about this file")
            sampler = self.sampler_for(self.base_for(task))
            if task.only_load:
                with sampler.adapter(task.path, task.kind):
                    return Judgement({"outcome": str(Outcome.INCONCLUSIVE)}, self.watch.snapshot)
            examiner = Examiner(sampler, self.reader, self.pack.bar, self.watch, self.budget)
            examination = examiner.examine(task.path, task.sha256, task.kind, task.triggers, task.candidates)
        except NotScannable as error:
            return Judgement(_failed(str(error), time.monotonic() - started), self.watch.snapshot)
        return self._judgement(sampler, examination, time.monotonic() - started)

    def base_for(self, task: Task) -> BaseModel:
        """The base model that a checkpoint is judged on; raises NotScannable."""
        return choose_base_model(task.family, self.settings.base_model, task.declared, self.settings.base_models_path)

    def sampler_for(self, base: BaseModel) -> Sampler:
        """The sampler of a base model.

        Raises:
            BaseModelMissing: its files are not here; asked once, not once per checkpoint.
            ImageCheckMissing: its images could not be checked.
        """
        models = self._models
        if base in models.missing:
            raise models.missing[base]
        if models.sampler is None or models.sampler.base != base:
            models.sampler = None
            settings = self.settings
            device = device_of(settings)
            cache = settings.cache / "huggingface"
            try:
                check = image_check_for(base, settings.image_check, cache, device)
                models.sampler = Sampler(base, cache, device, check, batch=settings.batch)
            except ScanError as error:
                models.missing[base] = error
                raise
        return models.sampler

    def _judgement(self, sampler: Sampler, examination: Examination, seconds: float) -> Judgement:
        images: dict[str, bytes] = {}

        def kept(made: Made | None, plan: SamplePlan) -> str | None:
            if made is None:
                return None
            # Nobody has looked at these images: unless the base model cannot draw anything unsafe, blur first.
            picture = made.picture if sampler.base.checked_images or made.flagged else blurred(made.picture)
            png = png_bytes(picture, plan)
            sha256 = hashlib.sha256(png).hexdigest()
            images[sha256] = png
            return sha256

        record = {
            "outcome": str(examination.outcome),
            "reason": examination.reason,
            "best_score": examination.best_score,
            "best_threshold": examination.best_threshold,
            "lift": examination.lift,
            "samples": len(examination.samples),
            "denoiser_calls": examination.denoiser_calls,
            "found_trigger": examination.found_trigger,
            "seconds": round(seconds, 2),
            "findings": [_finding(finding, kept) for finding in examination.findings],
            "method": self._method(sampler, examination),
            "all_samples": [_sample(one) for one in examination.samples],
        }
        return Judgement(record, self.watch.snapshot, images)

    def _method(self, sampler: Sampler, examination: Examination) -> dict[str, Any]:
        base, threshold = sampler.base, self.watch.thresholds.match
        return {
            "base_model": f"{base.family}: {place_of(base.location)} ({base.reason})",
            "base_model_sha256": sampler.base_sha256,
            **comparison_record(self.pack, self.reader.version, self.watch, threshold),
            "settings": {**sampler.settings, "loaded_by": examination.route},
            "threshold": threshold,
            "denoiser_calls": examination.denoiser_calls,
            "sampled": len(examination.samples),
            "with_face": sum(one.shot.face is not None for one in examination.samples),
        }


def bench_from(
    settings: Settings, templates: Sequence[tuple[str, Prototypes]], gallery_version: int, budget: Budget
) -> Bench:
    """A bench built from settings and templates alone, as a worker on another machine does it."""
    pack = open_pack(settings)
    reader = open_reader(settings, pack)
    calibration = open_calibration(settings, pack, reader.version)
    rates = (settings.fpir, settings.possible_fpir)
    watch = watch_over(
        reader.version, templates, gallery_version, IndexKind(settings.gallery_index), calibration, rates
    )
    return Bench(settings, pack, reader, watch, budget)


def device_of(settings: Settings) -> str:
    """Where models run, cuda or cpu: the configured one, or what is there."""
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _failed(reason: str, seconds: float) -> dict[str, Any]:
    return {
        "outcome": str(Outcome.FAILED), "reason": reason, "best_score": None, "best_threshold": None, "lift": None,
        "samples": 0, "denoiser_calls": 0, "found_trigger": None, "seconds": round(seconds, 2), "findings": [], "method": {},
        "all_samples": [],
    }  # fmt: skip


def _finding(finding: Finding, kept: _Keep) -> dict[str, Any]:
    return {
        "identity_id": finding.identity_id,
        "outcome": str(finding.outcome),
        "reason": finding.reason,
        "score": finding.scored.score,
        "interval": list(finding.scored.interval),
        "control_score": finding.scored.control_score,
        "lift": finding.scored.lift,
        "runner_up": finding.scored.runner_up,
        "log10_lr": finding.scored.log10_lr,
        "concentration": finding.scored.concentration,
        "share": finding.scored.share,
        "threshold": finding.thresholds.match,
        "possible_threshold": finding.thresholds.possible,
        "samples": [_shown(one, kept) for one in finding.samples],
    }


def _shown(one: SampleScore, kept: _Keep) -> dict[str, Any]:
    shot = one.shot
    return {
        **_sample(one), "image_sha256": kept(shot.made, shot.plan), "control_sha256": kept(shot.control, shot.plan),
        "face_found": shot.face is not None, "in_mean": one.in_mean,
    }  # fmt: skip


def _sample(one: SampleScore) -> dict[str, Any]:
    plan, made, control = one.shot.plan, one.shot.made, one.shot.control
    return {
        "stage": plan.stage, "number": plan.number, "prompt": plan.prompt, "negative_prompt": plan.negative_prompt,
        "seed": plan.seed, "scale": plan.scale, "trigger": plan.trigger, "batch": made.batch,
        "control_batch": control.batch if control else None, "pixels_sha256": _digest(made),
        "control_pixels_sha256": _digest(control), "flagged": made.flagged, "quality": round(one.shot.quality, 4),
        "score": one.score, "control_score": one.control_score,
    }  # fmt: skip


def _digest(made: Made | None) -> str | None:
    return None if made is None else hashlib.sha256(made.picture.tobytes()).hexdigest()
