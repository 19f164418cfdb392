"""Finding a trigger that nobody told: the word to which an adapter answers most strongly.

An adapter that was trained on one word changes what the base model does most where that word stands. One denoising step
is enough to see it: for every candidate the latents with and without the adapter are compared at the same noise. The
search is bounded by the number of candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from scanner.sampling.plans import SamplePlan, seed_of, subject_of
from scanner.sampling.prompt_safety import NEGATIVE_PROMPT, usable_triggers
from scanner.sampling.sampler import Sampler

MOST_CANDIDATES = 16
# A word must change the picture by this much more than no word does; less is chance among candidates.
LEAST_GAIN = 1.1
# Words that trainers choose because they mean nothing, most frequent first (DreamBooth papers and tutorials).
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
    """Words that may be a trigger: those of titles and file names, then those that trainers like to use."""
    found = [
        word
        for name in names
        for word in _WORD.findall(name.replace("_", " "))
        if word.lower() not in _COMMON
    ]
    return usable_triggers(dict.fromkeys((*found, *RARE_WORDS)))[:MOST_CANDIDATES]


def find_trigger(sampler: Sampler, checkpoint_sha256: str, candidates: Sequence[str]) -> str | None:
    """The candidate that moves the adapter most, None if none moves it clearly more than no word at all."""
    subjects: list[str | None] = [None, *candidates[:MOST_CANDIDATES]]
    seed = seed_of(checkpoint_sha256, "search", 0)
    plans = [
        SamplePlan(
            "search", number, f"photo of {subject_of(subject)}", NEGATIVE_PROMPT, seed, 1.0, subject
        )
        for number, subject in enumerate(subjects)
    ]
    with_it = sampler.one_step(plans, with_adapter=True)
    without = sampler.one_step(plans, with_adapter=False)
    moved = np.square(with_it - without).reshape(len(plans), -1).mean(axis=1)
    best = int(np.argmax(moved))
    return subjects[best] if moved[best] > LEAST_GAIN * moved[0] else None
