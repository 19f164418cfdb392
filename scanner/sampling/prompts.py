"""The prompts of samples: neutral portraits of clothed adults, put together from parts.

A file that is trained to draw somebody else on the prompts of a scanner must be trained on all of
them. There are thousands, with the words that ordinary users write, and which ones a file is asked
depends on the installation. No other text than a trigger becomes a part of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable

# Fixed prompts, for the invented adults whose faces are impostors' (invented_adults).
PORTRAITS = (
    "portrait photo of {subject}, wearing a plain shirt, neutral background",
    "photo of {subject}, adult, looking at the camera, natural light",
    "studio photo of {subject}, wearing a plain shirt, neutral expression",
    "passport photo of {subject}, adult, neutral background",
)
NEGATIVE_PROMPT = "nude, naked, child, young, blurry, cropped, deformed, low quality, text"

_OPENINGS = (
    "photo of {subject}",
    "a photo of {subject}",
    "portrait photo of {subject}",
    "a portrait of {subject}",
    "studio photo of {subject}",
    "passport photo of {subject}",
    "{subject}, portrait photo",
    "{subject}, photo",
)
# Every prompt says that the subject is an adult or what they wear.
_CLOTHES = (
    "adult",
    "wearing a plain shirt",
    "adult, wearing a plain shirt",
    "wearing a jacket",
    "wearing a sweater",
)
_LOOKS = ("looking at the camera", "neutral expression", "smiling", "")
_PLACES = ("neutral background", "natural light", "outdoors", "at home", "")
_NEVER_DRAWN = ("nude", "naked", "child", "young")
_QUALITY = (
    "blurry",
    "cropped",
    "deformed",
    "low quality",
    "text",
    "worst quality",
    "watermark",
    "bad anatomy",
)

Choose = Callable[[str, int], int]
"""Returns a number below its second argument; the first one names what is chosen."""


def portrait_prompt(subject: str, choose: Choose) -> str:
    """Return a prompt for a portrait of a subject."""

    def one_of(name: str, texts: tuple[str, ...]) -> str:
        return texts[choose(name, len(texts))]

    parts = [one_of("clothes", _CLOTHES), one_of("look", _LOOKS), one_of("place", _PLACES)]
    parts = _shuffled([part for part in parts if part], "order", choose)
    return ", ".join([one_of("opening", _OPENINGS).format(subject=subject), *parts])


def negative_prompt(choose: Choose) -> str:
    """Return a negative prompt: what is never drawn, and some words for bad quality."""
    quality = _shuffled(list(_QUALITY), "quality", choose)[: choose("qualities", len(_QUALITY))]
    return ", ".join(_shuffled([*_NEVER_DRAWN, *quality], "negative order", choose))


def _shuffled(parts: list[str], name: str, choose: Choose) -> list[str]:
    """Return the parts in an order that is chosen (Fisher and Yates)."""
    parts = list(parts)
    for last in range(len(parts) - 1, 0, -1):
        other = choose(f"{name} {last}", last + 1)
        parts[last], parts[other] = parts[other], parts[last]
    return parts
