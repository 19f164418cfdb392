"""The result of one checkpoint by a worker, on this machine or on a cluster."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field

from face_index.faces.face import FaceReader
from face_index.faces.packs import FacePack
from reports.reasons.reason import Reason
from scanner.adapters.formats.registry import SCANNABLE_KINDS
from scanner.errors import NotScannable, ScanError
from scanner.identification.comparison import comparison_of
from scanner.identification.faces import FaceFinder
from scanner.identification.outcome import Outcome
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import VerdictRecord
from scanner.sampling.base_models import BaseModel
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import blurred, png_bytes
from scanner.scanning.each_base_model import identify_on_each
from scanner.scanning.identify_loop import CheckpointResult, IdentifyLoop
from scanner.scanning.observations import KnownSamples
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.verdict_records import verdict_record
from scanner.scanning.worker_answer import SamplerSource, WorkerAnswer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Models:
    """The models that one worker has loaded; identifiers with different snapshots share them."""

    sampler: ImageGenerator | None = None
    missing: dict[BaseModel, ScanError] = field(default_factory=dict)


class CheckpointIdentifier:
    """Examines checkpoints with one base model at a time, a face reader and one gallery.

    An identifier never changes its snapshot, so that a verdict names the gallery that was searched.
    """

    def __init__(
        self,
        source: SamplerSource,
        pack: FacePack,
        reader: FaceReader,
        snapshot: GallerySnapshot,
        policy: Policy,
    ) -> None:
        self.source, self.pack, self.reader = source, pack, reader
        self.snapshot, self.policy = snapshot, policy
        self._models = _Models()

    def with_snapshot(self, snapshot: GallerySnapshot) -> CheckpointIdentifier:
        """Return an identifier with the same models and another gallery."""
        other = CheckpointIdentifier(self.source, self.pack, self.reader, snapshot, self.policy)
        other._models = self._models
        return other

    @property
    def base_model(self) -> str | None:
        """Location of the loaded base model; None if none is loaded."""
        return self._models.sampler.base.location if self._models.sampler else None

    def identify(self, request: SamplingRequest, known: KnownSamples | None = None) -> WorkerAnswer:
        """Examine one checkpoint.

        Args:
            known: the samples that were drawn of it before.

        Raises:
            BaseModelMissing: the base model is not available on this machine.
            ImageCheckMissing: the image check is not available on this machine.
        """
        if request.alternatives and request.problem is None:
            return identify_on_each(self.identify, self.source, request, known)
        started = time.monotonic()
        try:
            if request.problem is not None:
                raise NotScannable(request.problem)
            if request.kind not in SCANNABLE_KINDS:
                unsupported = Reason("kind-not-supported", {"kind": request.kind})
                raise NotScannable(unsupported.in_english())
            sampler = self.sampler_for(self.source.base_for(request.family, request.declared))
            if request.only_load:
                with sampler.adapter(request.path, request.kind):
                    verdict = VerdictRecord(str(Outcome.INCONCLUSIVE))
                    return WorkerAnswer(verdict, self.snapshot.snapshot_id)
            finder = FaceFinder(self.reader, self.pack.bar)
            loop = IdentifyLoop(sampler, finder, self.snapshot, self.policy)
            result = loop.identify(request, known)
        except NotScannable as error:
            seconds = round(time.monotonic() - started, 2)
            failed = VerdictRecord(str(Outcome.FAILED), str(error), seconds=seconds)
            return WorkerAnswer(failed, self.snapshot.snapshot_id)
        return self._answer(sampler, result, time.monotonic() - started)

    def sampler_for(self, base: BaseModel) -> ImageGenerator:
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
                models.sampler = self.source.open_sampler(base)
            except ScanError as error:
                models.missing[base] = error
                raise
        return models.sampler

    def _answer(
        self, sampler: ImageGenerator, result: CheckpointResult, seconds: float
    ) -> WorkerAnswer:
        images: dict[str, bytes] = {}

        def keep(number: int, is_control: bool) -> str | None:
            sample = result.observed[number]
            image = sample.images.get(is_control)
            if is_control in sample.pictures or image is None:
                return sample.pictures.get(is_control)
            # No reviewer has seen these images, so they are stored blurred unless the base model
            # cannot draw anything unsafe. A flagged image is blurred already.
            as_drawn = sampler.base.checked_images or image.flagged
            png = png_bytes(
                image.picture if as_drawn else blurred(image.picture), sample.drawn.plan
            )
            sha256 = hashlib.sha256(png).hexdigest()
            images[sha256] = png
            return sha256

        threshold = self.snapshot.thresholds.match
        verdict = verdict_record(
            result.drawing,
            result.identification,
            comparison_of(self.pack, self.reader.version, self.snapshot, threshold),
            threshold,
            keep,
            seconds,
        )
        return WorkerAnswer(
            verdict,
            self.snapshot.snapshot_id,
            images,
            result.drawing,
            result.cost,
            result.patches(),
            result.kept_since,
            result.impostors,
        )
