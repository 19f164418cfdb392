"""Pictures of a capture: size, perceptual hash, and which of them are the same picture.

PDQ (Facebook, 2019; crawlers.captures.images.pdq): 256 bits, at most 31 of which differ between copies of one picture; hashes of
quality under 50 say nothing, since the picture has no detail.
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

SMALLEST_SIDE_PX = 32  # below it lie icons and counters
MOST_BITS_BETWEEN_COPIES = 31
LEAST_QUALITY = 50
_HASHED_SIDE_PX = 512  # PDQ looks at 64x64 in the end


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of an image file by looking at it.

    Attributes:
        width, height: pixels; 0 for one that cannot be opened.
        pdq: 256 bits as 64 hexadecimal digits; None where the picture has too little detail to be told apart.
        problem: why it cannot be opened.
    """

    width: int
    height: int
    pdq: str | None
    problem: str | None = None

    @property
    def is_worth_a_look(self) -> bool:
        return min(self.width, self.height) >= SMALLEST_SIDE_PX


def look_at(data: bytes) -> Picture:
    """Size and hash of an image file's bytes."""
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
    """For each picture the number of the first one that it is a copy of, its own number if of none.

    A picture belongs to the first group whose first picture it is close to; pictures without a hash are copies of none.
    """
    firsts: list[int] = []
    bits = np.zeros((len(hashes), 32), np.uint8)
    groups = list(range(len(hashes)))
    for number, told in enumerate(hashes):
        if told is None:
            continue
        bits[number] = np.frombuffer(bytes.fromhex(told), np.uint8)
        if firsts:
            distances = _bits_between(bits[firsts], bits[number])
            closest = int(np.argmin(distances))
            if distances[closest] <= MOST_BITS_BETWEEN_COPIES:
                groups[number] = firsts[closest]
                continue
        firsts.append(number)
    return groups


def _bits_between(many: npt.NDArray[np.uint8], one: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.asarray(np.unpackbits(many ^ one, axis=1).sum(axis=1), np.int64)
