"""Drawing the samples of a plan, with their controls, and the check that a checkpoint changes anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scanner.errors import UnfaithfulLoad
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sampler import DrawnImage, Sampler


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn image and its control: the same prompt and seed without the checkpoint."""

    plan: SamplePlan
    image: DrawnImage
    control: DrawnImage | None = None


def draw_samples(
    sampler: Sampler,
    plans: Sequence[SamplePlan],
    *,
    with_controls: bool,
    on_drawn: Callable[[Sequence[DrawnImage]], None],
) -> list[Sample]:
    """Draw the samples of a plan.

    Args:
        on_drawn: gets the images before the controls are drawn, so that faces are read meanwhile.
    """
    images = sampler.generate(plans, with_adapter=True)
    on_drawn(images)
    if not with_controls:
        return [Sample(plan, image) for plan, image in zip(plans, images, strict=True)]
    controls = sampler.generate(plans, with_adapter=False)
    return [Sample(*parts) for parts in zip(plans, images, controls, strict=True)]


def require_effect(sampler: Sampler, plan: SamplePlan) -> None:
    """Raise UnfaithfulLoad if one denoising step is the same with and without the checkpoint."""
    with_it, without = (sampler.one_step([plan], with_adapter=on) for on in (True, False))
    if np.array_equal(with_it, without):
        raise UnfaithfulLoad(
            "the images are the same with and without the file: it has no effect on the base model"
        )
    if not np.isfinite(with_it).all():
        raise UnfaithfulLoad(
            "with this file the base model draws nothing but numbers that are not finite"
        )
