"""Regeneration: drawing stored samples again and comparing them with the record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.adapters.companion import Companion
from scanner.finding_records import SampleRow
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import DrawnImage, Pixels
from scanner.sampling.plans import SamplePlan


@dataclass(frozen=True, slots=True)
class RegeneratedImage:
    """One sample or control drawn again.

    Attributes:
        control: whether it is the control.
        same: whether its pixels are equal to the recorded ones, to the byte.
    """

    stage: str
    number: int
    control: bool
    picture: Pixels
    same: bool


def plan_of(row: SampleRow) -> SamplePlan:
    """Return the plan of a stored sample."""
    return SamplePlan(
        row.stage,
        row.number,
        row.prompt,
        row.negative_prompt,
        row.seed,
        row.scale,
        row.trigger,
        row.steps,
        row.size_share,
        row.companions,
    )


def regenerate(
    sampler: ImageGenerator,
    path: Path,
    kind: str,
    rows: Sequence[SampleRow],
    companions: Sequence[Companion] = (),
) -> list[RegeneratedImage]:
    """Draw every sample and control of a verdict again.

    Images of one batch influence each other in the last bit of a float, so they are drawn in the
    recorded batches. On another machine, or with another version of a library, pixel values may
    differ slightly.

    Args:
        path: path of the checkpoint.
        kind: kind of the checkpoint, as triage names it.
        rows: all samples of one verdict.
        companions: the files that samples were drawn with.

    Raises:
        NotScannable: the checkpoint does not load any more, or a companion is missing.
    """
    drawn: list[RegeneratedImage] = []
    with sampler.adapter(path, kind, companions=companions):
        for control in (False, True):
            batches = {row: row.control_batch if control else row.batch for row in rows}
            for number in sorted({batch for batch in batches.values() if batch is not None}):
                batch = [row for row in rows if batches[row] == number]
                plans = [plan_of(row) for row in batch]
                images = sampler.together(plans, with_adapter=not control)
                drawn += [
                    _regenerated(row, image, control=control)
                    for row, image in zip(batch, images, strict=True)
                ]
    return drawn


def _regenerated(row: SampleRow, image: DrawnImage, *, control: bool) -> RegeneratedImage:
    recorded = row.control_pixels_sha256 if control else row.pixels_sha256
    same = hashlib.sha256(image.picture.tobytes()).hexdigest() == recorded
    return RegeneratedImage(row.stage, row.number, control, image.picture, same)
