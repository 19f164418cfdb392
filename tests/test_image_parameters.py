"""An image reports its own parameters, and never those of an image that was read before."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import ExifTags, Image

from crawlers.captures.images.provenance import provenance_of

USER_COMMENT = 0x9286


def picture(kind: str, number: int, *, with_parameters: bool) -> bytes:
    """A picture whose shade encodes its number; its parameters name the model of that number."""
    options = {}
    if with_parameters:
        text = (
            f"portrait {number}\nNegative prompt: blurry\n"
            "Steps: 20, Sampler: Euler a, CFG scale: 7, "
            f"Seed: {number}, Size: 64x64, Model hash: aabbccddee, Model: model{number:03}"
        )
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
        options["exif"] = exif
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, 90, 90)).save(data, kind, **options)
    return data.getvalue()


def models_of(data: bytes) -> list[str | None]:
    return [one.name for one in provenance_of(data).ingredients if one.role == "base model"]


@pytest.fixture(scope="module", params=["JPEG", "WEBP"])
def pictures(request: pytest.FixtureRequest) -> list[tuple[bytes, list[str]]]:
    """Three hundred pictures, every second one with parameters."""
    return [
        (
            picture(request.param, number, with_parameters=number % 2 == 0),
            [] if number % 2 else [f"model{number:03}"],
        )
        for number in range(300)
    ]


def test_each_of_hundreds_of_pictures_tells_its_own_model(
    pictures: list[tuple[bytes, list[str]]],
) -> None:
    for _ in range(5):
        assert [models_of(data) for data, _ in pictures] == [own for _, own in pictures]


def test_the_order_in_which_they_are_read_does_not_matter(
    pictures: list[tuple[bytes, list[str]]],
) -> None:
    mixed = pictures * 3
    random.Random(7).shuffle(mixed)
    assert [models_of(data) for data, _ in mixed] == [own for _, own in mixed]


def test_several_threads_may_read_at_once(pictures: list[tuple[bytes, list[str]]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(models_of, [data for data, _ in pictures * 2]))
    assert told == [own for _, own in pictures * 2]
