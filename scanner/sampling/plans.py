"""The prompt plan: the prompts and seeds with which a checkpoint is sampled.

A prompt and a seed follow from the question that they ask: the checkpoint's SHA-256, stage,
trigger, scale, and the sample's place among those of the same question. They do not depend on who
is registered or on what was asked before, so that anybody can reproduce the same images. No other
text can become a part of a prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.sampling.prompt_safety import NEGATIVE_PROMPT

PORTRAITS = (
    "portrait photo of {subject}, wearing a plain shirt, neutral background",
    "photo of {subject}, adult, looking at the camera, natural light",
    "studio photo of {subject}, wearing a plain shirt, neutral expression",
    "passport photo of {subject}, adult, neutral background",
)
# Counts changes of prompts, seeds and rounds. It is a part of every sampling key.
PLAN_VERSION = 3
# The first triggers get a whole round of samples each, the others only two samples at first.
FULL_TRIGGERS, MAX_TRIGGERS = 4, 24
# Adapter scales of the rounds of screening. An overtrained adapter draws no face at full strength,
# so the last round is weaker. The second round uses no trigger, because an adapter that was trained
# on an unlisted trigger often draws its subject without any.
SCREENING_SCALES = (1.0, 1.0, 0.7)
# The largest adapter weight of a sample: that of a file with a hundredth of the usual effect, in a
# second confirmation.
MOST_SCALE = 120.0
_PERSON_WORDS = frozenset(
    ["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"]
)


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to draw; its control has the same fields and no adapter.

    Attributes:
        stage: "screening" or "evidence" (confirmation).
        number: counts the samples of a stage, in the order in which they were drawn.
        scale: adapter weight; negative for files that are made to be loaded with a minus sign.
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


def seed_of(
    checkpoint_sha256: str, stage: str, trigger: str | None, scale: float, index: int
) -> int:
    """Return a 32-bit seed derived from the checkpoint and the question, so nobody can choose it.

    Args:
        index: place among the samples of this stage, trigger and scale, from 0.
    """
    question = f"{checkpoint_sha256}:{stage}:{trigger or ''}:{scale}:{index}"
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:4], "big")


def plan_samples(
    checkpoint_sha256: str,
    stage: str,
    triggers: Sequence[str | None],
    per_trigger: int,
    drawn: Sequence[SamplePlan] = (),
    scale: float = 1.0,
) -> list[SamplePlan]:
    """Return the plans of `per_trigger` further samples for each trigger.

    Args:
        triggers: at most MAX_TRIGGERS are used; None stands for a person in general.
        drawn: the plans of this stage so far; the new ones go on from them.

    Raises:
        ValueError: the scale is larger than MOST_SCALE.
    """
    if abs(scale) > MOST_SCALE:
        raise ValueError(f"scale {scale} is larger than {MOST_SCALE}")
    plans = list(drawn)
    for trigger in triggers[:MAX_TRIGGERS]:
        first = sum((plan.trigger, plan.scale) == (trigger, scale) for plan in plans)
        for index in range(first, first + per_trigger):
            prompt = PORTRAITS[index % len(PORTRAITS)].format(subject=subject_of(trigger))
            seed = seed_of(checkpoint_sha256, stage, trigger, scale, index)
            plans.append(
                SamplePlan(stage, len(plans), prompt, NEGATIVE_PROMPT, seed, scale, trigger)
            )
    return plans[len(drawn) :]
