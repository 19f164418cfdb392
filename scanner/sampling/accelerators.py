"""Accelerators of screening: a small decoder, and a LoRA with which the base model needs few steps.

Both are used only if their files are in the cache already; nothing is fetched for speed alone.
Sources: taesd (Bohan, 2023), LCM-LoRA (Luo et al., 2023), SDXL-Lightning (Lin et al., 2024),
Hyper-SD (Ren et al., 2024).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from scanner.adapters.loading import adapter_changes
from scanner.adapters.merging import MergedAdapter
from scanner.errors import UnfaithfulLoad
from scanner.sampling.base_models import Accelerator, BaseModel, Stage

log = logging.getLogger(__name__)


class Accelerators:
    """The decoder and accelerator of one base model, used in its pipeline during screening.

    Attributes:
        decoder_name: hub id or folder of the small decoder; None if it is not available.
        accelerator: the LoRA's changes to the base model; None if it is not available.
        stage: how screening images are made with what is available.
        accelerator_name: repository of the LoRA; None if it is not available.
    """

    def __init__(self, base: BaseModel, pipeline: Any, cache: Path) -> None:
        self._pipeline = pipeline
        self._decoder = _decoder(base.decoder, pipeline, cache)
        self.decoder_name = base.decoder if self._decoder is not None else None
        self.accelerator: MergedAdapter | None = None
        self.stage: Stage = base.screening
        self.accelerator_name: str | None = None
        self._scheduler: Any = None
        if base.accelerator is not None and (path := _cached(base.accelerator, cache)) is not None:
            self._accelerate(base.accelerator, path)

    def _accelerate(self, accelerator: Accelerator, path: Path) -> None:
        import diffusers

        try:
            self.accelerator = MergedAdapter(self._pipeline, adapter_changes(self._pipeline, path))
        except UnfaithfulLoad as error:
            log.warning(
                "screening goes without the accelerator %s: %s", accelerator.repository, error
            )
            return
        if accelerator.scheduler:
            kind = getattr(diffusers, accelerator.scheduler)
            self._scheduler = kind.from_config(
                self._pipeline.scheduler.config, timestep_spacing="trailing"
            )
        self.stage, self.accelerator_name = accelerator.stage, accelerator.repository

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give the pipeline its decoder and scheduler for screening within a with-block."""
        before = self._pipeline.scheduler, getattr(self._pipeline, "vae", None)
        if self._scheduler is not None:
            self._pipeline.scheduler = self._scheduler
        if self._decoder is not None:
            self._pipeline.vae = self._decoder
        try:
            yield
        finally:
            self._pipeline.scheduler = before[0]
            if self._decoder is not None:
                self._pipeline.vae = before[1]


def _decoder(location: str | None, pipeline: Any, cache: Path) -> Any:
    if location is None:
        return None
    from diffusers import AutoencoderTiny

    try:
        decoder = AutoencoderTiny.from_pretrained(
            location, cache_dir=cache, dtype=pipeline.vae.dtype, local_files_only=True
        )
    except (OSError, ValueError):
        log.info("the small decoder %s is not in the cache; screening uses the full one", location)
        return None
    # The decoder consists of convolutions, which GPUs run faster in this layout.
    return decoder.to(pipeline.vae.device, memory_format=torch.channels_last)


def _cached(accelerator: Accelerator, cache: Path) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    folder = Path(accelerator.repository)
    if folder.is_dir():
        return folder / accelerator.file
    found = try_to_load_from_cache(accelerator.repository, accelerator.file, cache_dir=cache)
    return Path(found) if isinstance(found, str) else None
