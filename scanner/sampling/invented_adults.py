"""Portraits of invented adults, which a base model draws without any adapter.

They stand for people who are not registered: their scores are impostor scores (`calibrate
--drawn`). The prompts are those of clothed adults, as of every sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanner.sampling.plans import SamplePlan
from scanner.sampling.prompts import NEGATIVE_PROMPT, PORTRAITS

if TYPE_CHECKING:
    from scanner.sampling.images import DrawnImage
    from scanner.sampling.sampler import Sampler

IMAGES_OF_AN_ADULT = 4
# How far the noise of one adult's images differs, in radians. The miniature model draws the same
# person then: cosine 0.75 between the first image and another, 0.65 at 0.4, 0.86 at 0.2
# (benchmarks/RESULTS.md). Adults whose images disagree are left out.
_ANGLE = 0.3
# The regions of the UN's M49 standard, those of Asia one by one.
_REGIONS = (
    "African",
    "East Asian",
    "European",
    "Latin American",
    "Middle Eastern",
    "Pacific Islander",
    "South Asian",
    "Southeast Asian",
)
_AGES = (24, 33, 42, 51, 60, 69)
_HAIR = ("short hair", "long hair", "curly hair", "hair tied back", "grey hair", "shaved hair")
_LOOKS = ("a round face", "a narrow face", "glasses", "freckles", "thick eyebrows", "a square jaw")


def description_of_adult(number: int) -> str:
    """Return the words for an invented adult, such as "42-year-old East Asian woman with ...".

    Age, region and gender are used equally often; hair and look are chosen by a hash.
    """
    rest, gender = divmod(number, 2)
    rest, region = divmod(rest, len(_REGIONS))
    age = _AGES[rest % len(_AGES)]
    digest = hashlib.sha256(f"invented adult {number}".encode()).digest()
    hair, look = _HAIR[digest[0] % len(_HAIR)], _LOOKS[digest[1] % len(_LOOKS)]
    kind = ("woman", "man")[gender]
    return " ".join(("a", f"{age}-year-old", _REGIONS[region], kind, "with", hair, "and", look))


def plans_of_adult(number: int) -> list[SamplePlan]:
    """Return the plans of the images of one invented adult."""
    adult = description_of_adult(number)
    prompt = PORTRAITS[number % len(PORTRAITS)].format(subject=adult)
    first = number * IMAGES_OF_AN_ADULT
    return [
        SamplePlan(
            "evidence", first + image, prompt, NEGATIVE_PROMPT, _seed(number, image), 1, None
        )
        for image in range(IMAGES_OF_AN_ADULT)
    ]


def _seed(number: int, image: int) -> int:
    digest = hashlib.sha256(f"invented adult {number}, image {image}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def draw_adults(sampler: Sampler, first: int, count: int) -> Iterator[list[DrawnImage]]:
    """Draw invented adults; yields the images of one after the other.

    The same adults are drawn each time, as far as the device draws the same images.

    Args:
        first: number of the first adult.

    Raises:
        NoiseNotShared, NotScannable: the base model cannot draw them.
    """
    together = max(1, sampler.batch // IMAGES_OF_AN_ADULT)
    for start in range(first, first + count, together):
        numbers = range(start, min(start + together, first + count))
        plans = [plan for number in numbers for plan in plans_of_adult(number)]
        images = sampler.of_one_person_each(plans, IMAGES_OF_AN_ADULT, _ANGLE)
        for place in range(len(numbers)):
            yield images[place * IMAGES_OF_AN_ADULT : (place + 1) * IMAGES_OF_AN_ADULT]
