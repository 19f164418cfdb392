"""The check that a checkpoint has an effect, and the weight at which users would load it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reports.reasons.reason import Reason
from scanner.errors import UnfaithfulLoad
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.plans import SamplePlan

# Share of the latents' length by which a file changes them in one denoising step. Files of people
# are over 0.7 at the weight that users load them with, and a tenth of such files is under 0.2; of
# twenty styles and objects one is under 0.3. Measured on LikenessBench (benchmarks/RESULTS.md), in
# the miniature world only.
LEAST_USUAL, USUAL = 0.3, 1.2
# A file that is this weak at its own weight is in doubt even if it was asked at the usual effect.
LEAST_PLAUSIBLE = 0.03
_STRONGER = (3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True)
class Effect:
    """How far a checkpoint moves the base model.

    Attributes:
        share: length of the change of the latents after one step, divided by their length without
            the checkpoint; the largest of all prompts that were asked.
        usual_scale: the adapter weight at which that share is usual; 1.0 if it is at weight 1.
    """

    share: float
    usual_scale: float


def effect_of(sampler: ImageGenerator, plans: Sequence[SamplePlan], *, scalable: bool) -> Effect:
    """Measure with single denoising steps how far the loaded checkpoint moves the base model.

    Args:
        plans: one sample for each question; all have one scale.
        scalable: whether other adapter weights can be tried.

    Raises:
        UnfaithfulLoad: no output differs from that without the checkpoint, or one is not finite.
    """
    without = sampler.one_step(plans, with_adapter=False)
    share = _share(sampler.one_step(plans, with_adapter=True), without)
    if not share:
        raise UnfaithfulLoad(Reason("no-effect").in_english())
    if not scalable or share >= LEAST_USUAL:
        return Effect(share, 1.0)
    last = 1.0
    for scale in _STRONGER:
        scaled = [replace(plan, scale=scale) for plan in plans]
        try:
            moved = _share(sampler.one_step(scaled, with_adapter=True), without)
        except UnfaithfulLoad:
            return Effect(share, last)  # its numbers are not finite any more
        last = scale
        if moved >= USUAL:
            break
    return Effect(share, last)


def _share(changed: npt.NDArray[np.float32], without: npt.NDArray[np.float32]) -> float:
    if not np.isfinite(changed).all():
        raise UnfaithfulLoad(Reason("draws-no-numbers").in_english())
    moved = np.linalg.norm((changed - without).reshape(len(without), -1), axis=1)
    lengths = np.linalg.norm(without.reshape(len(without), -1), axis=1)
    return float(np.max(moved / np.maximum(lengths, np.finfo(np.float32).tiny)))
