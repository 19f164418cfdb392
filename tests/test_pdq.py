"""The perceptual hash: equal to the reference's except for a few bits, and similar for copies."""

from __future__ import annotations

import io

import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crawlers.captures.images.pdq import pdq_of
from crawlers.captures.images.pictures import (
    LEAST_QUALITY,
    MOST_BITS_BETWEEN_COPIES,
    copies_among,
    picture_from,
)
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo

MOST_BITS_FROM_REFERENCE = 6


def drawn(seed: int, width: int, height: int) -> np.ndarray:
    picture = Image.fromarray(draw_photo(person_of(seed), 0).pixels)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def as_file(pixels: np.ndarray, kind: str = "PNG", **how: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 5_000), width=st.integers(64, 512), height=st.integers(64, 512))
def test_it_is_the_reference_but_for_a_few_bits(seed: int, width: int, height: int) -> None:
    pixels = drawn(seed, width, height)
    bits, quality = pdq_of(pixels)
    expected, expected_quality = pdqhash.compute(pixels)
    assert int((bits != expected).sum()) <= MOST_BITS_FROM_REFERENCE
    assert abs(quality - expected_quality) <= 3


@pytest.mark.parametrize("shape", [(32, 32), (33, 500), (500, 33), (512, 512)])
def test_any_size_is_taken_and_no_detail_says_nothing(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    bits, quality = pdq_of(noise)
    assert (bits.shape, set(np.unique(bits)) <= {0, 1}) == ((256,), True)
    assert 0 <= quality <= 100
    assert pdq_of(np.full((*shape, 3), 77, np.uint8))[1] < LEAST_QUALITY


def test_copies_are_alike_and_other_pictures_are_not() -> None:
    first = drawn(900, 400, 400)
    copies = [as_file(first), as_file(first, "JPEG", quality=60), as_file(drawn(900, 250, 250))]
    others = [as_file(drawn(seed, 400, 400)) for seed in (901, 902, 903)]
    hashes = [picture_from(data).pdq for data in (*copies, *others)]
    assert copies_among(hashes) == [0, 0, 0, 3, 4, 5]
    assert MOST_BITS_FROM_REFERENCE * 4 < MOST_BITS_BETWEEN_COPIES
