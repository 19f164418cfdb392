"""Large sets of drawn photos for training, drawn on every core and kept in memory."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from scanner.miniature.persons import person_of
from scanner.miniature.portraits import Photo, draw_photo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Photos of several persons, all photos of one person in a row.

    Attributes:
        pixels: uint8 [n, size, size, 3], RGB.
        boxes: float32 [n, 4], left, top, right, bottom, pixels.
        landmarks: float32 [n, 5, 2], pixels.
        person_index: int64 [n], counting persons from 0.
        captions: one string a photo.
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    person_index: npt.NDArray[np.int64]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Photos as diffusers wants them: float32 [b, 3, size, size], -1 to 1."""
        return torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1


def _draw_person(task: tuple[int, int, int]) -> tuple[list[Photo], str]:
    seed, photos, size = task
    person = person_of(seed)
    return [draw_photo(person, number, size) for number in range(photos)], person.caption


def rows_of(photos: PhotoSet, rows: npt.NDArray[np.int64]) -> PhotoSet:
    """Return some of the photos."""
    return PhotoSet(
        pixels=photos.pixels[rows],
        boxes=photos.boxes[rows],
        landmarks=photos.landmarks[rows],
        person_index=photos.person_index[rows],
        captions=tuple(photos.captions[row] for row in rows),
    )


def draw_set(seeds: range, photos_each: int, size: int = 64) -> PhotoSet:
    """Draw `photos_each` photos of the person of every seed."""
    tasks = [(seed, photos_each, size) for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drawn = list(pool.map(_draw_person, tasks, chunksize=32))
    photos = [photo for person, _ in drawn for photo in person]
    log.info("drew %d photos of %d persons", len(photos), len(tasks))
    return PhotoSet(
        pixels=np.stack([photo.pixels for photo in photos]),
        boxes=np.asarray([photo.box for photo in photos], np.float32),
        landmarks=np.asarray([photo.landmarks for photo in photos], np.float32),
        person_index=np.repeat(np.arange(len(tasks)), photos_each),
        captions=tuple(caption for person, caption in drawn for _ in person),
    )


def shuffled_batches(
    count: int, batch: int, steps: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers for `steps` batches, every row once before any comes again."""
    order = np.concatenate(
        [rng.permutation(count) for _ in range(math.ceil(steps * batch / count) + 1)]
    )
    for step in range(steps):
        yield order[step * batch : (step + 1) * batch]


def cosine_rate(step: int, steps: int, warmup: int = 50) -> float:
    """Learning rate factor: a short rise, then half a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
