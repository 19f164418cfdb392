"""PDQ, the perceptual hash of Facebook's ThreatExchange, with OpenCV's filters.

See "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019. The `pdqhash`
package is the same in C++, but comes as source only, so that it needs a compiler.

Luminance is smoothed by two passes of a box filter, sampled at 64 x 64, and transformed; a bit says
whether a low frequency is above the median. Of 256 bits the two implementations differ in a few at
most (tests/test_pdq.py); 31 are allowed between copies.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

_SIDE, _FREQUENCIES, _PASSES = 64, 16, 2
_Floats = npt.NDArray[np.float32]


def pdq_of(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """The hash, uint8 [256] of 0 and 1, and its quality, 0 to 100.

    Args:
        pixels: uint8 [height, width, 3], RGB.
    """
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = luma.shape
    for _ in range(_PASSES):
        luma = _box(luma)
    rows, columns = (
        ((np.arange(_SIDE) + 0.5) * side / _SIDE).astype(int) for side in (height, width)
    )
    small = luma[np.ix_(rows, columns)]
    frequencies = _cosines() @ small @ _cosines().T
    bits = (frequencies > np.median(frequencies)).astype(np.uint8)
    return bits.reshape(-1)[::-1], _quality(small)


def _box(values: _Floats) -> _Floats:
    """The mean over a window around each pixel, cut off at the borders."""
    height, width = values.shape
    (down, top), (across, left) = _window(height), _window(width)
    sums = cv2.boxFilter(
        values,
        -1,
        (across, down),
        anchor=(left, top),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    return np.asarray(sums / _places(height, down, top)[:, None] / _places(width, across, left))


def _window(side: int) -> tuple[int, int]:
    """The length of the window for a side of this length, and the part before its middle."""
    length = (side + 2 * _SIDE - 1) // (2 * _SIDE)
    return length, length - 1 - length // 2


@lru_cache(256)
def _places(side: int, length: int, before: int) -> _Floats:
    """For each position on a side, the number of pixels of its window that are inside."""
    place = np.arange(side)
    return np.asarray(
        np.minimum(place + length - before, side) - np.maximum(place - before, 0), np.float32
    )


@cache
def _cosines() -> _Floats:
    row, column = np.arange(1, _FREQUENCIES + 1)[:, None], np.arange(_SIDE)[None]
    return np.asarray(
        np.sqrt(2 / _SIDE) * np.cos(np.pi / 2 / _SIDE * row * (2 * column + 1)), np.float32
    )


def _quality(small: _Floats) -> int:
    """The amount of change between neighbouring pixels; without detail a hash means nothing."""
    steps = sum(np.abs(np.trunc(np.diff(small, axis=axis) * 100 / 255)).sum() for axis in (0, 1))
    return min(int(steps / 90), 100)
