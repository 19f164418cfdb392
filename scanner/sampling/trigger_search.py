"""The search for an unlisted trigger: the word to which an adapter responds most strongly.

An adapter that was trained on one word changes the base model's output most for prompts with that
word. One denoising step is enough to measure it: for every candidate the latents with and without
the adapter are compared at the same noise. The number of candidates limits the cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.plans import PlanBasis, SamplePlan, subject_of
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.prompts import NEGATIVE_PROMPT

MOST_CANDIDATES = 16
# A word must change the latents by this factor more than a prompt without a trigger. A smaller
# difference occurs by chance among the candidates.
LEAST_GAIN = 1.1
# Words that trainers choose because they have no meaning, the most frequent first (DreamBooth
# papers and tutorials).
RARE_WORDS = ("ohwx", "sks", "zwx", "tok", "p3rs0n", "olis", "xyz", "ukj", "bnha", "phol")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{2,29}")
_COMMON = frozenset(
    [
        "lora",
        "locon",
        "lycoris",
        "loha",
        "lokr",
        "dora",
        "model",
        "sdxl",
        "flux",
        "style",
        "v1",
        "v2",
        "v3",
        "final",
        "test",
        "epoch",
        "step",
        "safetensors",
        "checkpoint",
        "the",
        "and",
        "for",
        "with",
        "person",
        "woman",
        "man",
        "girl",
        "boy",
        "portrait",
        "photo",
        "face",
        "realistic",
        "celebrity",
        "actress",
        "actor",
        "version",
        "pruned",
        "fp16",
        "fp32",
        "bf16",
        "fp8",
    ]
)


def candidate_words(names: Iterable[str]) -> tuple[str, ...]:
    """Return words that may be a trigger: those of titles and file names, then RARE_WORDS."""
    found = [
        word
        for name in names
        for word in _WORD.findall(name.replace("_", " "))
        if word.lower() not in _COMMON
    ]
    return usable_triggers(dict.fromkeys((*found, *RARE_WORDS)))[:MOST_CANDIDATES]


def find_trigger(
    sampler: ImageGenerator, basis: PlanBasis, candidates: Sequence[str]
) -> str | None:
    """Return the candidate to which the adapter responds most strongly.

    The result is None if the response to no candidate is clearly stronger than without a trigger.
    """
    subjects: list[str | None] = [None, *candidates[:MOST_CANDIDATES]]
    seed = basis.number("search")
    plans = [
        SamplePlan(
            "search", number, f"photo of {subject_of(subject)}", NEGATIVE_PROMPT, seed, 1.0, subject
        )
        for number, subject in enumerate(subjects)
    ]
    with_it = sampler.one_step(plans, with_adapter=True)
    without = sampler.one_step(plans, with_adapter=False)
    change = np.square(with_it - without).reshape(len(plans), -1).mean(axis=1)
    best = int(np.argmax(change))
    return subjects[best] if change[best] > LEAST_GAIN * change[0] else None
