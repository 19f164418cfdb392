"""Making images: the sampling harness on diffusers."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, PngImagePlugin

from scanner.adapters.loading import adapter_loaded, set_scale
from scanner.base_models import BaseModel, hash_of_base_model, load_pipeline
from scanner.prompts import SamplePlan

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
_BATCH = {"cpu": 8, "cuda": 8}


class Sampler:
    """One loaded base model; adapters go in and out of it one at a time."""

    def __init__(self, base: BaseModel, cache: Path, device: str) -> None:
        self.base = base
        self.device = device
        self._pipeline = load_pipeline(base, cache, device)
        self.base_sha256 = hash_of_base_model(base, self._pipeline)

    @property
    def settings(self) -> dict[str, object]:
        """Everything about sampling that a stranger must set alike."""
        scheduler = type(self._pipeline.scheduler).__name__
        return {
            "scheduler": scheduler,
            "steps": self.base.steps,
            "guidance": self.base.guidance,
            "size": self.base.size,
            "device": self.device,
        }

    @contextmanager
    def adapter(self, path: Path, kind: str) -> Iterator[int]:
        """An adapter loaded for the duration of a with-block; see scanner.adapters.loading."""
        with adapter_loaded(self._pipeline, path, kind) as injected:
            yield injected

    def generate(self, plans: Sequence[SamplePlan], with_adapter: bool) -> list[Pixels]:
        """One image per plan, uint8 [size, size, 3] RGB; the control if `with_adapter` is False."""
        images: list[Pixels] = []
        batch = _BATCH.get(self.device, 8)
        for start in range(0, len(plans), batch):
            images += self._batch(plans[start : start + batch], with_adapter)
        return images

    def _batch(self, plans: Sequence[SamplePlan], with_adapter: bool) -> list[Pixels]:
        set_scale(self._pipeline, plans[0].scale if with_adapter else None)
        made = self._pipeline(
            prompt=[plan.prompt for plan in plans],
            negative_prompt=[plan.negative_prompt for plan in plans],
            generator=[torch.Generator("cpu").manual_seed(plan.seed) for plan in plans],
            num_inference_steps=self.base.steps,
            guidance_scale=self.base.guidance,
            width=self.base.size,
            height=self.base.size,
            output_type="np",
        )
        pictures = (np.nan_to_num(made.images).clip(0, 1) * 255).round().astype(np.uint8)
        unsafe = getattr(made, "nsfw_content_detected", None) or [False] * len(plans)
        return [blurred(picture) if flagged else picture for picture, flagged in zip(pictures, unsafe, strict=True)]


def blurred(picture: Pixels) -> Pixels:
    """The picture with nothing left to recognise but colours."""
    strength = max(2.0, picture.shape[0] / 16)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), strength), dtype=np.uint8)


def png_bytes(picture: Pixels, plan: SamplePlan) -> bytes:
    """PNG with the mark that it was made by a trained algorithm (IPTC DigitalSourceType)."""
    marks = PngImagePlugin.PngInfo()
    marks.add_text("DigitalSourceType", "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia")
    marks.add_text("Seed", str(plan.seed))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=marks)
    return buffer.getvalue()
