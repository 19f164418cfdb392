"""The safety check of every image, before it is shown or stored.

The check is CompVis' safety checker as diffusers and transformers ship it; Rando et al.,
"Red-Teaming the Stable Diffusion Safety Filter", 2022, describe what it detects. Its input is a
picture, so it works for every family. It fails closed: without a working check no real base model
is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from reports.reasons.reason import Reason
from scanner.errors import ImageCheckMissing, first_line
from scanner.sampling.base_models import BaseModel

Pixels = npt.NDArray[np.uint8]
REPOSITORY = "CompVis/stable-diffusion-safety-checker"


class ImageCheck(Protocol):
    """Decides which images must be blurred at once."""

    @property
    def description(self) -> str:
        """Name of the check, for the record."""

    def flagged(self, pictures: Sequence[Pixels]) -> list[bool]:
        """Return True for every image that may be unsafe."""


class NothingUnsafe:
    """Flags nothing; for base models that can only draw cartoon portraits."""

    description = Reason("image-check-not-needed").in_english()

    def flagged(self, pictures: Sequence[Pixels]) -> list[bool]:
        return [False] * len(pictures)


class SafetyChecker:
    """The CompVis checker."""

    def __init__(self, location: str, cache: Path, device: str) -> None:
        """Load the checker.

        Raises:
            ImageCheckMissing: its files are not available, or lack some of its weights.
        """
        self.description = f"StableDiffusionSafetyChecker {location.rsplit('/', 1)[-1]}"
        self._device = device
        try:
            from diffusers.pipelines.stable_diffusion.safety_checker import (
                StableDiffusionSafetyChecker,
            )
            from transformers import CLIPImageProcessor

            self._network, loading = StableDiffusionSafetyChecker.from_pretrained(
                location, cache_dir=cache, output_loading_info=True
            )
            self._processor: Any = CLIPImageProcessor.from_pretrained(location, cache_dir=cache)
        # The hub's client, safetensors and torch have unrelated exception hierarchies.
        except Exception as error:
            raise ImageCheckMissing(location, first_line(error)) from error
        missing = [name for name in loading["missing_keys"] if "position_ids" not in name]
        if missing:
            # A checker with random weights would pass every image.
            raise ImageCheckMissing(
                location, f"{len(missing)} of its weights are not in the file, such as {missing[0]}"
            )
        self._network.to(device).eval()

    def flagged(self, pictures: Sequence[Pixels]) -> list[bool]:
        if not pictures:
            return []
        inputs = self._processor(images=list(pictures), return_tensors="pt").pixel_values.to(
            self._device
        )
        # The network overwrites flagged pictures with black, so it gets copies.
        _, flags = self._network(images=[picture.copy() for picture in pictures], clip_input=inputs)
        return [bool(flag) for flag in flags]


def image_check_for(base: BaseModel, location: str | None, cache: Path, device: str) -> ImageCheck:
    """Return the check for a base model's images.

    Args:
        location: folder or hub id of a checker in the CompVis form; None for the default.

    Raises:
        ImageCheckMissing: the base model needs a check and there is none.
    """
    if base.checked_images:
        return NothingUnsafe()
    return SafetyChecker(location or REPOSITORY, cache, device)
