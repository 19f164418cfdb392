"""The options of sampling on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.sampling.base_models import BaseModel, Declared, choose_base_model

if TYPE_CHECKING:
    from scanner.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True)
class SamplerOptions:
    """The settings that sampling uses.

    Attributes:
        cache: folder of downloaded base models.
        base_models: folder in which declared base models are searched.
        base_model: overrides the choice by family; None without an override.
        image_check: hub id or folder of the image check; None for the default.
        device: "auto", "cpu" or "cuda".
        batch: images per batch; None for the device's default.
    """

    cache: Path
    base_models: Path
    base_model: str | None
    image_check: str | None
    device: str
    batch: int | None

    def base_for(self, family: str, declared: Declared) -> BaseModel:
        """Return the base model on which a checkpoint is sampled; raises NotScannable."""
        return choose_base_model(family, self.base_model, declared, self.base_models)

    def open_sampler(self, base: BaseModel) -> Sampler:
        """Load a base model; raises BaseModelMissing, ImageCheckMissing."""
        from scanner.sampling.image_check import image_check_for
        from scanner.sampling.sampler import Sampler

        device = device_for(self.device)
        check = image_check_for(base, self.image_check, self.cache, device)
        return Sampler(base, self.cache, device, check, batch=self.batch)


def device_for(configured: str) -> str:
    """Return the device that models run on, "cpu" or "cuda"; "auto" prefers a GPU."""
    if configured != "auto":
        return configured
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
