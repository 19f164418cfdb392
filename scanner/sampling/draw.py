"""Drawing samples and controls, and checking that a checkpoint has an effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reports.reasons.reason import Reason
from scanner.errors import UnfaithfulLoad
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import DrawnImage
from scanner.sampling.plans import SamplePlan


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn image and its control: the same prompt and seed without the checkpoint."""

    plan: SamplePlan
    image: DrawnImage
    control: DrawnImage | None = None


def draw_samples(
    sampler: ImageGenerator,
    plans: Sequence[SamplePlan],
    *,
    with_controls: bool,
    on_drawn: Callable[[Sequence[DrawnImage]], None],
) -> list[Sample]:
    """Draw the samples of a plan.

    Args:
        on_drawn: called with the images before the controls are drawn, so that the caller can read
            faces at the same time.
    """
    images = sampler.generate(plans, with_adapter=True)
    on_drawn(images)
    if not with_controls:
        return [Sample(plan, image) for plan, image in zip(plans, images, strict=True)]
    controls = sampler.generate(plans, with_adapter=False)
    return [Sample(*parts) for parts in zip(plans, images, controls, strict=True)]


def require_effect(sampler: ImageGenerator, plan: SamplePlan) -> None:
    """Check with one denoising step that the loaded checkpoint changes the base model's output.

    Raises:
        UnfaithfulLoad: the output is the same without the checkpoint, or not finite with it.
    """
    with_it, without = (sampler.one_step([plan], with_adapter=on) for on in (True, False))
    if np.array_equal(with_it, without):
        raise UnfaithfulLoad(Reason("no-effect").in_english())
    if not np.isfinite(with_it).all():
        raise UnfaithfulLoad(Reason("draws-no-numbers").in_english())
