"""Size and perceptual hash of a capture's pictures, and groups of copies of one picture.

PDQ (Facebook, 2019; crawlers.captures.images.pdq) has 256 bits, of which at most 31 differ between
copies of one picture. Hashes with a quality under 50 mean nothing, because the picture has no
detail.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crawlers.captures.images.image_formats import (
    HEAD_BYTES,
    ImageRefused,
    image_format,
    open_image,
)
from crawlers.captures.images.pdq import pdq_of

log = logging.getLogger(__name__)

SMALLEST_SIDE_PX = 32  # smaller pictures are icons and counters
MOST_BITS_BETWEEN_COPIES = 31
LEAST_QUALITY = 50
_HASHED_SIDE_PX = 512  # PDQ reduces the picture to 64x64 in the end


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts about an image file.

    Attributes:
        width, height: pixels; 0 if it cannot be opened.
        pdq: 256 bits as 64 hexadecimal digits; None if the picture has too little detail.
        problem: why it cannot be opened.
    """

    width: int
    height: int
    pdq: str | None
    problem: str | None = None

    @property
    def is_large_enough(self) -> bool:
        return min(self.width, self.height) >= SMALLEST_SIDE_PX


def picture_from(data: bytes) -> Picture:
    """The size and hash of an image file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(data) as opened:
                width, height = opened.size
                if min(width, height) < SMALLEST_SIDE_PX:
                    return Picture(width, height, None)
                opened.draft("RGB", (_HASHED_SIDE_PX, _HASHED_SIDE_PX))
                small = opened.convert("RGB")
                small.thumbnail((_HASHED_SIDE_PX, _HASHED_SIDE_PX))
    except ImageRefused as refused:
        return Picture(0, 0, None, f"no picture that can be opened: {refused}")
    except Exception:  # Pillow's plugins raise anything at hostile files
        log.info("a damaged picture", exc_info=True)
        return Picture(0, 0, None, f"a damaged {image_format(data[:HEAD_BYTES]) or 'image'}")
    bits, quality = pdq_of(np.asarray(small))
    return Picture(
        width, height, np.packbits(bits).tobytes().hex() if quality >= LEAST_QUALITY else None
    )


def copies_among(hashes: Sequence[str | None]) -> list[int]:
    """For each picture the number of the first picture of which it is a copy, else its own.

    A picture joins the first group whose first picture is similar enough. Pictures without a hash
    are never copies.
    """
    firsts: list[int] = []
    bits = np.zeros((len(hashes), 32), np.uint8)
    groups = list(range(len(hashes)))
    for number, digits in enumerate(hashes):
        if digits is None:
            continue
        bits[number] = np.frombuffer(bytes.fromhex(digits), np.uint8)
        if firsts:
            distances = _bits_between(bits[firsts], bits[number])
            closest = int(np.argmin(distances))
            if distances[closest] <= MOST_BITS_BETWEEN_COPIES:
                groups[number] = firsts[closest]
                continue
        firsts.append(number)
    return groups


def _bits_between(
    many: npt.NDArray[np.uint8], single: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    return np.asarray(np.unpackbits(many ^ single, axis=1).sum(axis=1), np.int64)
