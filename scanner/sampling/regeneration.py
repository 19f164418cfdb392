"""Samples made again from what the ledger keeps of them, and whether they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import Pixels, Sampler


@dataclass(frozen=True, slots=True)
class Again:
    """One sample or control made again.

    Attributes:
        control: it is the control.
        same: its pixels are those that were recorded, to the byte.
    """

    stage: str
    number: int
    control: bool
    picture: Pixels
    same: bool


def plan_of(record: Mapping[str, Any]) -> SamplePlan:
    """The plan of a sample as the ledger's `samples` table keeps it."""
    return SamplePlan(
        record["stage"],
        record["number"],
        record["prompt"],
        record["negative_prompt"],
        record["seed"],
        record["scale"],
        record["trigger"],
    )


def regenerate(
    sampler: Sampler, path: Path, kind: str, records: Sequence[Mapping[str, Any]]
) -> list[Again]:
    """Make every sample and control of a verdict again.

    Images of one batch influence each other in the last bit of a float, so they are made in the batches that were
    recorded; on another machine, or with another version of a library, pixels may differ by a shade.

    Args:
        path, kind: of the checkpoint, as triage names it.
        records: rows of the ledger's `samples` table, all of one verdict.

    Raises:
        NotScannable: the checkpoint does not load any more.
    """
    made: list[Again] = []
    with sampler.adapter(path, kind):
        for batch, digest, control in (
            ("batch", "pixels_sha256", False),
            ("control_batch", "control_pixels_sha256", True),
        ):
            numbers = sorted({record[batch] for record in records if record[batch] is not None})
            for number in numbers:
                together = [record for record in records if record[batch] == number]
                images = sampler.together(
                    [plan_of(record) for record in together], with_adapter=not control
                )
                made += [
                    Again(
                        record["stage"],
                        record["number"],
                        control,
                        image.picture,
                        hashlib.sha256(image.picture.tobytes()).hexdigest() == record[digest],
                    )
                    for record, image in zip(together, images, strict=True)
                ]
    return made
