"""The check that every image passes before anybody or any disk sees it.

CompVis' safety checker (Rando et al., Red-Teaming the Stable Diffusion Safety Filter, 2022, describe what it knows) as
diffusers and transformers keep it. It works on any picture, so it serves every family. It fails closed: with a real
base model and no working check nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scanner.errors import ImageCheckMissing, first_line
from scanner.sampling.base_models import BaseModel

Pixels = npt.NDArray[np.uint8]
REPOSITORY = "CompVis/stable-diffusion-safety-checker"


class ImageCheck(Protocol):
    """Tells which images must be blurred at once."""

    @property
    def description(self) -> str:
        """Which check this is, for the record."""

    def flagged(self, pictures: Sequence[Pixels]) -> list[bool]:
        """True for every image that may be unsafe."""


class NothingUnsafe:
    """For base models that can only draw cartoon portraits."""

    description = "none: this base model is synthetic and can only draw cartoon portraits"

    def flagged(self, pictures: Sequence[Pixels]) -> list[bool]:
        return [False] * len(pictures)


class SafetyChecker:
    """The CompVis checker, loaded once; flags whatever it cannot look at."""

    def __init__(self, location: str, cache: Path, device: str) -> None:
        """Load it.

        Raises:
            ImageCheckMissing: its files are not here, or do not fill every weight.
        """
        self.description = f"StableDiffusionSafetyChecker {location.rsplit('/', 1)[-1]}"
        self._device = device
        try:
            from diffusers.pipelines.stable_diffusion.safety_checker import (
                StableDiffusionSafetyChecker,
            )
            from transformers import CLIPImageProcessor

            self._network, told = StableDiffusionSafetyChecker.from_pretrained(
                location, cache_dir=cache, output_loading_info=True
            )
            self._processor: Any = CLIPImageProcessor.from_pretrained(location, cache_dir=cache)
        except (
            Exception
        ) as error:  # the hub's client, safetensors and torch each have error trees of their own
            raise ImageCheckMissing(location, first_line(error)) from error
        missing = [name for name in told["missing_keys"] if "position_ids" not in name]
        if missing:
            # A checker with random weights would let everything through and say that it looked.
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
        # It blackens what it flags; what it is given here is thrown away.
        _, flags = self._network(images=[picture.copy() for picture in pictures], clip_input=inputs)
        return [bool(flag) for flag in flags]


def image_check_for(base: BaseModel, location: str | None, cache: Path, device: str) -> ImageCheck:
    """The check for a base model's images.

    Args:
        location: folder or hub id of a checker in the CompVis form; the usual one if None.

    Raises:
        ImageCheckMissing: the base model needs a check and there is none.
    """
    if base.checked_images:
        return NothingUnsafe()
    return SafetyChecker(location or REPOSITORY, cache, device)
