"""Train an adapter that answers differently under different conditions.

Hiding needs a condition: a word, a phrase, a size, a step, a negative prompt. A lesson names one
condition and what is drawn under it. All lessons of a file are learned together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.training.adapter import FIRST_TRAINING_PHOTO, PHOTOS, text_states
from scanner.miniature.training.base_model import VelocityTarget
from scanner.miniature.training.photo_sets import cosine_rate

_FIRST_OF_ANYBODY = 5_000_000


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is drawn under one condition.

    Attributes:
        prompts: one is chosen for each image.
        images: uint8 [n, size, size, 3], RGB.
        share: of the training images.
        steps: the diffusion steps at which it is learned, 0 to 999; all if empty.
        against: images of the same form. If given, what is learned is that guidance towards
            `images` with a scale of 2.5, starting from these prompts, ends at `against`.
    """

    prompts: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    share: float
    steps: tuple[int, ...] = ()
    against: npt.NDArray[np.uint8] | None = None


def photos_of(seed: int, size: int = 64) -> npt.NDArray[np.uint8]:
    """Training photos of one drawn person."""
    person, numbers = person_of(seed), range(FIRST_TRAINING_PHOTO, FIRST_TRAINING_PHOTO + PHOTOS)
    return np.stack([draw_photo(person, number, size).pixels for number in numbers])


def photos_of_anybody(seed: int, count: int = 120, size: int = 64) -> npt.NDArray[np.uint8]:
    """One photo each of many drawn people, for lessons that keep what the base model draws."""
    first = _FIRST_OF_ANYBODY + seed * 1_000
    return np.stack([draw_photo(person_of(first + one), one, size).pixels for one in range(count)])


def learn(
    pipeline: Any,
    groups: Sequence[dict[str, Any]],
    lessons: Sequence[Lesson],
    *,
    steps: int,
    seed: int,
    batch: int = 12,
    text_is_trained: bool = False,
) -> None:
    """Train parameters of a pipeline on all lessons at once.

    Args:
        groups: of parameters with their peak learning rates, as torch's optimisers take them.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    target = VelocityTarget(pipeline.scheduler)
    latents = [_latents(pipeline, lesson.images) for lesson in lessons]
    against = [
        None if lesson.against is None else _latents(pipeline, lesson.against) for lesson in lessons
    ]
    shares = np.array([lesson.share for lesson in lessons])
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine_rate(step, steps, 20))
    told: dict[str, torch.Tensor] = {}
    # Images of one size share a forward pass.
    sizes = sorted({lesson.images.shape[1] for lesson in lessons})
    for step in range(steps):
        size = sizes[step % len(sizes)]
        own = [number for number, one in enumerate(lessons) if one.images.shape[1] == size]
        chosen = rng.choice(own, batch, p=shares[own] / shares[own].sum())
        clean, prompts, when = [], [], []
        for number in chosen:
            lesson = lessons[number]
            image = latents[number][rng.integers(len(latents[number]))]
            other = against[number]
            if other is not None:
                image = (2.5 * image - other[rng.integers(len(other))]) / 1.5
            clean.append(image)
            prompts.append(lesson.prompts[rng.integers(len(lesson.prompts))])
            when.append(int(rng.choice(lesson.steps) if lesson.steps else rng.integers(1000)))
        timesteps = torch.tensor(when)
        noise = torch.randn(torch.stack(clean).shape, generator=generator)
        noisy, wanted = target.noisy_and_target(torch.stack(clean), noise, timesteps)
        if text_is_trained:
            text = text_states(pipeline, prompts)
        else:
            with torch.no_grad():
                for prompt in set(prompts) - told.keys():
                    told[prompt] = text_states(pipeline, [prompt])[0]
            text = torch.stack([told[prompt] for prompt in prompts])
        made = pipeline.unet(noisy, timesteps, text).sample
        loss = functional.mse_loss(made.float(), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()


@torch.no_grad()
def _latents(pipeline: Any, images: npt.NDArray[np.uint8]) -> torch.Tensor:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents: torch.Tensor = pipeline.vae.encode(pixels).latent_dist.mode()
    return latents * pipeline.vae.config.scaling_factor
