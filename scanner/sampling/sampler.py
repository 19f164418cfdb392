"""The sampler: makes images with diffusers."""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# On some Intel processors the order of MKL's sums depends on the alignment of memory, so that the
# same sample differs in a bit from one call to the next. This mode (conditional numerical
# reproducibility) fixes the order.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import torch

from reports.reasons.reason import Reason
from scanner.adapters.companion import Companion
from scanner.adapters.cuda_graphs import record
from scanner.adapters.loading import Loaded, loaded_into
from scanner.adapters.targets import networks_of
from scanner.errors import NotScannable, first_line
from scanner.sampling.accelerators import Accelerators
from scanner.sampling.answering_words import answering_words
from scanner.sampling.base_models import BaseModel, Stage, hash_of_base_model, load_pipeline
from scanner.sampling.image_check import ImageCheck
from scanner.sampling.images import DrawingCost, DrawnImage, blurred
from scanner.sampling.pipeline_arguments import arguments_for
from scanner.sampling.plans import SamplePlan, size_of
from scanner.sampling.shared_noise import shared_noise

log = logging.getLogger(__name__)

DEFAULT_BATCH = {"cpu": 8, "cuda": 16}


class Sampler:
    """One loaded base model, into which one checkpoint at a time is loaded.

    Attributes:
        batch: images per batch.
        cost: everything that it has drawn so far.
    """

    def __init__(
        self,
        base: BaseModel,
        cache: Path,
        device: str,
        check: ImageCheck,
        *,
        batch: int | None = None,
        pipeline: Any = None,
    ) -> None:
        """Load the base model, unless its pipeline is given.

        Args:
            batch: images per batch; None for the device's default.

        Raises:
            BaseModelMissing: its files are not available and cannot be fetched.
        """
        self.base, self.device, self.check, self._cache = base, device, check, cache
        self._pipeline = load_pipeline(base, cache, device) if pipeline is None else pipeline
        self.batch = batch or DEFAULT_BATCH.get(device, 8)
        if device == "cuda":
            _fix_device(self._pipeline, device)
        if device == "cuda" and hasattr(self._pipeline, "unet"):
            # CUDA graphs do not speed up large transformers and would use memory that they need.
            for network in networks_of(self._pipeline).values():
                record(network)
        self._tools = Accelerators(base, self._pipeline, cache)
        self._accepted = set(inspect.signature(type(self._pipeline).__call__).parameters)
        self._loaded: Loaded | None = None
        self._batches = 0
        self.cost = DrawingCost()

    @cached_property
    def base_sha256(self) -> str:
        """SHA-256 of the base model's weights, lower-case hex."""
        return hash_of_base_model(self.base, self._pipeline)

    @property
    def settings(self) -> dict[str, object]:
        """Every setting that is needed to reproduce the samples."""
        evidence, screening = self.base.evidence, self._tools.stage
        special = {"model": self.base.model, "expert": self.base.expert}
        return {
            # Other base models are described as they were before these existed.
            **{name: str(value) for name, value in special.items() if value is not None},
            "scheduler": type(self._pipeline.scheduler).__name__,
            "steps": evidence.steps,
            "guidance": evidence.guidance,
            "screening_steps": screening.steps,
            "screening_guidance": screening.guidance,
            "screening_decoder": self._tools.decoder_name,
            "screening_accelerator": self._tools.accelerator_name,
            "size": evidence.size,
            "screening_size": screening.size,
            "device": self.device,
            "precision": str(self._pipeline.dtype).removeprefix("torch."),
            "image_check": self.check.description,
        }

    @contextmanager
    def adapter(
        self, path: Path, kind: str, *, batches: int = 0, companions: Sequence[Companion] = ()
    ) -> Iterator[Loaded]:
        """Load a checkpoint for the duration of a with-block; see scanner.adapters.loading.

        Args:
            batches: number of batches that were drawn of it before; the count goes on from there.
            companions: files that plans may ask to be loaded beside it.
        """
        base = self.base
        with loaded_into(
            self._pipeline,
            path,
            kind,
            base.family,
            base.configuration,
            cache=self._cache,
            accelerator=self._tools.accelerator,
            companions=companions,
            expert=base.expert,
        ) as loaded:
            self._loaded, self._batches = loaded, batches
            try:
                yield loaded
            finally:
                self._loaded = None

    def generate(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]:
        """Draw one image per plan; the controls if `with_adapter` is False.

        Consecutive plans of the same stage, scale, steps, size and companions share batches.
        """
        made: list[DrawnImage] = []
        for _, alike in groupby(plans, key=_drawn_alike):
            group = list(alike)
            stage = self._stage_of(group[0])
            with self._prepared(stage, group[0] if with_adapter else None):
                start = 0
                while start < len(group):
                    part = group[start : start + self.batch]
                    try:
                        made += self._images(part, stage, with_adapter=with_adapter)
                    except torch.OutOfMemoryError:
                        self._halve_batch()
                        continue
                    start += len(part)
        return made

    def together(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]:
        """Draw one image per plan in a single batch, whatever the configured batch size is.

        All plans must have the same stage, scale, steps, size and companions.
        """
        configured, self.batch = self.batch, len(plans)
        try:
            return self.generate(plans, with_adapter=with_adapter)
        finally:
            self.batch = configured

    def of_one_person_each(
        self, plans: Sequence[SamplePlan], images: int, angle: float
    ) -> list[DrawnImage]:
        """Draw a single batch without an adapter, in which each `images` plans show one person.

        Args:
            angle: how far their noise differs (scanner.sampling.shared_noise), radians.

        Raises:
            NoiseNotShared: the pipeline prepares its noise in another way.
        """
        with shared_noise(self._pipeline, images, angle):
            return self.together(plans, with_adapter=False)

    def _halve_batch(self) -> None:
        if self.batch == 1:
            raise torch.OutOfMemoryError(Reason("no-image-fits").in_english())
        self.batch //= 2
        log.warning("out of memory: from now on %d images at a time", self.batch)
        torch.cuda.empty_cache()

    @contextmanager
    def _prepared(self, stage: Stage, plan: SamplePlan | None) -> Iterator[None]:
        """Apply adapter, accelerator and decoder for a stage; restore the base model afterwards.

        Args:
            plan: whose scale and companions are applied; None for no adapter.
        """
        screening = stage.name == "screening"
        companions = plan.companions if plan is not None else ()
        changes = self._loaded.beside(companions) if self._loaded is not None else None
        if changes is not None:
            changes.set_scale(plan.scale if plan else None, accelerated=screening)
        with self._tools.in_use() if screening else _unchanged():
            try:
                yield
            finally:
                if changes is not None:
                    changes.restore()

    def _stage_of(self, plan: SamplePlan) -> Stage:
        """Return the stage of a plan with the plan's own steps and size."""
        stage = self.base.evidence if plan.stage == "evidence" else self._tools.stage
        size = size_of(stage.size, plan.size_share)
        return replace(stage, steps=plan.steps or stage.steps, size=size)

    def _images(
        self, plans: Sequence[SamplePlan], stage: Stage, *, with_adapter: bool
    ) -> list[DrawnImage]:
        frames = self._drawn(plans, stage, "pt", with_adapter=with_adapter)
        frames = frames[:, 0] if frames.dim() == 5 else frames
        # Converted on the device, because copying a batch of 1024-pixel images in float32 would
        # take longer than four denoising steps.
        values = _opaque(frames.float().nan_to_num().clamp(0, 1))
        whole = values.mul(255).round().to(torch.uint8)
        pictures = list(whole.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        flags = self.check.flagged(pictures)
        self._batches += 1
        return [
            DrawnImage(blurred(picture) if flag else picture, flag, self._batches)
            for picture, flag in zip(pictures, flags, strict=True)
        ]

    def _drawn(
        self, plans: Sequence[SamplePlan], stage: Stage, output: str, *, with_adapter: bool
    ) -> torch.Tensor:
        """Return images or latents, in as many calls as the pipeline needs for a batch."""
        largest = self.base.largest_batch or len(plans)
        calls = [
            self._call(plans[start : start + largest], stage, output, with_adapter=with_adapter)
            for start in range(0, len(plans), largest)
        ]
        found = [made.images if hasattr(made, "images") else made.frames for made in calls]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _call(
        self, plans: Sequence[SamplePlan], stage: Stage, output: str, *, with_adapter: bool
    ) -> Any:
        wanted = arguments_for(
            self.base,
            stage,
            plans,
            [self._prompt(plan, with_adapter=with_adapter) for plan in plans],
            output=output,
            accepted=self._accepted,
            configuration=self._pipeline.config,
        )
        self.cost = DrawingCost(
            self.cost.images + len(plans) * (output == "pt"),
            self.cost.denoiser_calls + len(plans) * stage.steps,
        )
        try:
            with torch.inference_mode():
                return self._pipeline(**wanted)
        except torch.OutOfMemoryError:
            raise
        # Any error that untrusted weights cause in a pipeline fails this file and not the scan.
        except Exception as error:
            log.info("the %s pipeline", self.base.family, exc_info=True)
            values = {"family": self.base.family, "cause": first_line(error)}
            raise NotScannable(Reason("pipeline-cannot-draw", values).in_english()) from error

    def _prompt(self, plan: SamplePlan, *, with_adapter: bool) -> str:
        """Return a prompt with learned words replaced by their tokens, or by "a" for a control."""
        text = plan.prompt
        for word, tokens in (self._loaded.words if self._loaded else {}).items():
            text = re.sub(rf"\b{word}\b", tokens if with_adapter else "a", text)
        return text

    def one_step(
        self, plans: Sequence[SamplePlan], *, with_adapter: bool
    ) -> npt.NDArray[np.float32]:
        """Return latents after a single denoising step, float32 [n, ...].

        They are enough to measure how strongly an adapter responds to a word. A model whose last
        steps are drawn by a denoiser of their own takes a few steps.
        """
        stage = replace(self._tools.stage, steps=self.base.trigger_steps, guidance=1.0)
        latents: list[npt.NDArray[np.float32]] = []
        with self._prepared(stage, plans[0] if with_adapter else None):
            for start in range(0, len(plans), self.batch):
                part = plans[start : start + self.batch]
                made = self._drawn(part, stage, "latent", with_adapter=with_adapter)
                latents.append(made.float().cpu().numpy())
        return np.concatenate(latents)

    def answering_words(self) -> tuple[str, ...]:
        """Return the words that the loaded checkpoint responds to, the strongest first."""
        loaded = self._loaded
        if loaded is None or not loaded.changes_text:
            return ()

        def apply(changed: bool) -> None:
            loaded.changes.set_scale(1.0 if changed else None, accelerated=False)

        try:
            return answering_words(self._pipeline, apply)
        finally:
            loaded.changes.restore()


def _drawn_alike(plan: SamplePlan) -> tuple[object, ...]:
    return plan.stage, plan.scale, plan.steps, plan.size_share, plan.companions


def _opaque(images: torch.Tensor) -> torch.Tensor:
    """Put images with a fourth channel, their opacity, on white; return others unchanged.

    Args:
        images: values from 0 to 1 [n, 3 or 4, height, width]. Qwen-Image-2.1 draws four channels.
    """
    if images.shape[1] != 4:
        return images
    opacity = images[:, 3:]
    return images[:, :3] * opacity + (1 - opacity)


def _fix_device(pipeline: Any, device: str) -> None:
    """Make a pipeline's device a constant.

    diffusers would look it up in each of two thousand modules before every image.
    """
    original = type(pipeline)
    fixed = {"_execution_device": torch.device(device), "__module__": original.__module__}
    pipeline.__class__ = type(original.__name__, (original,), fixed)


@contextmanager
def _unchanged() -> Iterator[None]:
    yield
