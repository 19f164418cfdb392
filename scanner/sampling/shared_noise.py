"""Images that start from nearly the same noise, so that a base model draws one person in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scanner.errors import NoiseNotShared


@contextmanager
def shared_noise(pipeline: Any, images: int, angle: float) -> Iterator[None]:
    """Let each `images` consecutive images of a batch start from nearly the same noise.

    The first of them keeps its own noise n. The others start from n cos(angle) + m sin(angle),
    where m is their own noise: normally distributed too, and at that angle to n.

    Args:
        pipeline: a diffusers pipeline.
        angle: radians.

    Raises:
        NoiseNotShared: the pipeline prepares its noise in another way.
    """
    prepare = getattr(pipeline, "prepare_latents", None)
    if prepare is None:
        raise NoiseNotShared(type(pipeline).__name__)

    def prepare_mixed(*arguments: Any, **named: Any) -> Any:
        made = prepare(*arguments, **named)
        # Pipelines of packed latents return the positions of the patches too.
        noise = made[0] if isinstance(made, tuple) else made
        grouped = noise.reshape(-1, images, *noise.shape[1:])
        mixed = grouped * math.sin(angle) + grouped[:, :1] * math.cos(angle)
        mixed[:, 0] = grouped[:, 0]
        mixed = mixed.reshape(noise.shape)
        return (mixed, *made[1:]) if isinstance(made, tuple) else mixed

    pipeline.prepare_latents = prepare_mixed
    try:
        yield
    finally:
        del pipeline.prepare_latents
