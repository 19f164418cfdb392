"""The check that a checkpoint has an effect."""

from __future__ import annotations

import numpy as np

from reports.reasons.reason import Reason
from scanner.errors import UnfaithfulLoad
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.plans import SamplePlan


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
