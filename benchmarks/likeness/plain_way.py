"""The plain way to examine an adapter: diffusers' loader, and the best of single images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from scanner.miniature.world import BASE_MODEL
from scanner.sampling.prompts import NEGATIVE_PROMPT
from scanner.scanning.identifier import CheckpointIdentifier

IMAGES, STEPS, GUIDANCE = 16, 30, 2.5


@dataclass(frozen=True)
class Plain:
    """The result of the plain way for one file.

    Attributes:
        best: identity and cosine of the image that is closest to an identity; None without a face.
        calls: denoiser calls of all images and controls.
        failed: diffusers raised an error.
    """

    best: tuple[str, float] | None
    calls: int
    seconds: float
    failed: bool = False

    def hit(self, person: int, threshold: float) -> bool:
        return self.best is not None and self.best[0] == str(person) and self.best[1] >= threshold

    def false(self, persons: tuple[int, ...], threshold: float) -> bool:
        return (
            self.best is not None and self.best[1] >= threshold and int(self.best[0]) not in persons
        )


def plain_way(identifier: CheckpointIdentifier, path: Path, trigger: str) -> Plain:
    started = time.monotonic()
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        BASE_MODEL, dtype=torch.float32, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    started = time.monotonic()
    try:
        pipeline.load_lora_weights(str(path))
        pipeline.unet.to(torch.float32)
    except Exception:  # diffusers raises many types
        return Plain(None, 0, time.monotonic() - started, failed=True)
    best: tuple[str, float] | None = None
    for with_adapter in (True, False):
        if not with_adapter:
            pipeline.unload_lora_weights()
        for number in range(IMAGES):
            image = _image(pipeline, trigger, number)
            [faces] = identifier.reader.read([image])
            if not with_adapter or not faces or identifier.pack.bar.objection(faces[0]) is not None:
                continue
            closest = identifier.snapshot.gallery.search(faces[0].embedding[None], 1)[0][0]
            if best is None or closest.score > best[1]:
                best = closest.identity_id, closest.score
    return Plain(best, 2 * IMAGES * STEPS, time.monotonic() - started)


def _image(pipeline: Any, trigger: str, number: int) -> Any:
    with torch.inference_mode():
        made = pipeline(
            prompt=f"photo of {trigger} person",
            negative_prompt=NEGATIVE_PROMPT,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=64,
            height=64,
            generator=torch.Generator().manual_seed(number),
            output_type="np",
        ).images
    return (made[0].clip(0, 1) * 255).round().astype("uint8")
