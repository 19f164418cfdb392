"""The prompt plan: the prompts and seeds with which a checkpoint is sampled.

Prompts and seeds depend only on the checkpoint's SHA-256 and its triggers, so that anybody can
reproduce the same list and the same images. No other text can become a part of a prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.sampling.prompt_safety import MAX_SCALE, NEGATIVE_PROMPT

PORTRAITS = (
    "portrait photo of {subject}, wearing a plain shirt, neutral background",
    "photo of {subject}, adult, looking at the camera, natural light",
    "studio photo of {subject}, wearing a plain shirt, neutral expression",
    "passport photo of {subject}, adult, neutral background",
)
# Counts changes of prompts, seeds and rounds. It is a part of every sampling key.
PLAN_VERSION = 1
MAX_TRIGGERS = 4
# Adapter scales of the rounds of screening. An overtrained adapter draws no face at full strength,
# so the last round is weaker. The second round uses no trigger, because an adapter that was trained
# on an unlisted trigger often draws its subject without any.
SCREENING_SCALES = (1.0, 1.0, 0.7)
_PERSON_WORDS = frozenset(
    ["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"]
)


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to draw; its control has the same fields and no adapter.

    Attributes:
        stage: "screening" or "evidence" (confirmation).
        number: counts the samples of a stage.
        scale: adapter weight.
        trigger: the word in the prompt; None for a prompt about a person in general.
    """

    stage: str
    number: int
    prompt: str
    negative_prompt: str
    seed: int
    scale: float
    trigger: str | None


def subject_of(trigger: str | None) -> str:
    """Return the subject of a prompt: the trigger, followed by `person` if it has no class word."""
    if trigger is None:
        return "a person"
    return trigger if _PERSON_WORDS & set(trigger.lower().split()) else f"{trigger} person"


def seed_of(checkpoint_sha256: str, stage: str, number: int) -> int:
    """Return a 32-bit seed derived from the checkpoint, so that nobody can choose it."""
    return int.from_bytes(
        hashlib.sha256(f"{checkpoint_sha256}:{stage}:{number}".encode()).digest()[:4], "big"
    )


def plan_samples(
    checkpoint_sha256: str,
    stage: str,
    triggers: Sequence[str | None],
    per_trigger: int,
    first: int,
    scale: float = 1.0,
) -> list[SamplePlan]:
    """Return the plans of `per_trigger` samples for each trigger, numbered from `first`.

    Args:
        triggers: at most MAX_TRIGGERS are used; None stands for a person in general.

    Raises:
        ValueError: the scale is over MAX_SCALE, above which adapters distort every image.
    """
    if scale > MAX_SCALE:
        raise ValueError(f"scale {scale} is over {MAX_SCALE}")
    plans: list[SamplePlan] = []
    for trigger in triggers[:MAX_TRIGGERS]:
        for turn in range(per_trigger):
            number = first + len(plans)
            prompt = PORTRAITS[turn % len(PORTRAITS)].format(subject=subject_of(trigger))
            seed = seed_of(checkpoint_sha256, stage, number)
            plans.append(SamplePlan(stage, number, prompt, NEGATIVE_PROMPT, seed, scale, trigger))
    return plans
