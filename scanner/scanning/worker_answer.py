"""What a worker answers about one checkpoint, and what it opens base models with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from scanner.records import ImpostorCounts, VerdictRecord
from scanner.sampling.base_models import BaseModel, Declared
from scanner.sampling.drawings import Drawing
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import DrawingCost, Pixels
from scanner.sampling.sample_store import Place


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A verdict with the pictures that it names.

    Attributes:
        snapshot_id: id of the gallery that was searched (`GallerySnapshot.snapshot_id`).
        images: PNG bytes by SHA-256.
        drawing: the samples; None if the checkpoint could not be sampled.
        cost: of what was drawn for this answer; None if the checkpoint could not be sampled.
        patches: aligned faces of the samples, if they are the same face again and again.
        kept_since: when the samples were drawn from which these go on; None if all were drawn now.
        impostors: counts of the scores of a file that shows nobody; None if it shows somebody.
    """

    verdict: VerdictRecord
    snapshot_id: str
    images: dict[str, bytes] = field(default_factory=dict)
    drawing: Drawing | None = None
    cost: DrawingCost | None = None
    patches: dict[Place, Pixels] = field(default_factory=dict, repr=False)
    kept_since: datetime | None = None
    impostors: ImpostorCounts | None = None


class SamplerSource(Protocol):
    """Chooses and loads base models (`scanner.sampling.options.SamplerOptions`)."""

    def base_for(self, family: str, declared: Declared) -> BaseModel: ...
    def open_sampler(self, base: BaseModel) -> ImageGenerator: ...
