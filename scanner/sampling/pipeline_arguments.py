"""The arguments with which each pipeline class is called.

A pipeline gets only what its `__call__` accepts. Some classes differ in how they take steps and
guidance; everything else that differs is data in base_models.toml. Models that edit an image get a
grey one, so that whom they draw comes from the adapter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from scanner.sampling.base_models import BaseModel, Stage
from scanner.sampling.plans import SamplePlan

# Ideogram 4 was made to end with little guidance: its pipeline's default is 7.0 for 45 steps and
# 3.0 for the last 3.
_LAST_GUIDANCE = 3.0
_LAST_STEPS = 1 / 16
_GREY = (128, 128, 128)


def arguments_for(
    base: BaseModel,
    stage: Stage,
    plans: Sequence[SamplePlan],
    prompts: Sequence[str],
    *,
    output: str,
    accepted: Collection[str],
    configuration: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of one call that draws one image per plan.

    Args:
        prompts: the prompts of the plans, with learned words replaced.
        output: "pt" for images, "latent" for latents.
        accepted: names of the parameters of the pipeline's `__call__`.
        configuration: the pipeline's own configuration.
    """
    wanted: dict[str, Any] = {
        "prompt": list(prompts),
        "negative_prompt": [plan.negative_prompt for plan in plans],
        "generator": [torch.Generator("cpu").manual_seed(plan.seed) for plan in plans],
        "num_inference_steps": stage.steps,
        "guidance_scale": stage.guidance,
        "width": stage.size,
        "height": stage.size,
        "num_frames": 1,
        "output_type": output,
        **dict(base.arguments),
    }
    if base.input_image:
        wanted["image"] = Image.new("RGB", (stage.size, stage.size), _GREY)
        wanted["max_area"] = stage.size**2
    # Without classifier-free guidance a negative prompt has no effect.
    if base.embedded_guidance or stage.guidance <= 1:
        del wanted["negative_prompt"]
    # Qwen-Image's name for classifier-free guidance; Flux.1 has both.
    if "true_cfg_scale" in accepted and not base.embedded_guidance:
        wanted["true_cfg_scale"] = wanted.pop("guidance_scale")
    if "distilled_guidance_scale" in accepted:
        # HunyuanImage: the scale of its guider stays as the model sets it.
        wanted["distilled_guidance_scale"] = wanted.pop("guidance_scale")
    if "guidance_schedule" in accepted:
        wanted["guidance_schedule"] = _guidance_schedule(stage)
        del wanted["guidance_scale"]
    if sigmas := configuration.get("sample_sigmas"):
        wanted["sigmas"] = _some_of(sigmas, stage.steps)
    return {name: value for name, value in wanted.items() if name in accepted}


def _guidance_schedule(stage: Stage) -> list[float]:
    """Return the guidance scale of every step."""
    last = int(stage.steps * _LAST_STEPS)
    lowered = min(stage.guidance, _LAST_GUIDANCE)
    return [stage.guidance] * (stage.steps - last) + [lowered] * last


def _some_of(sigmas: Sequence[float], steps: int) -> list[float]:
    """Return evenly spaced entries of the noise levels that the model's authors chose.

    Qwen-Image-2.1 would otherwise draw in as many steps as its configuration lists.
    """
    return [float(sigmas[step * len(sigmas) // steps]) for step in range(steps)]
