"""The prompt plan: which portraits are asked of a checkpoint, with which seeds.

Deterministic: prompts and seeds follow from the checkpoint's SHA-256 and its triggers alone, so a stranger can make the
same list and the same images. Nothing else can be written into a prompt.
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
MAX_TRIGGERS = 4
# What screening asks in turn until something is found: whose name, and how strongly the adapter is weighed. An
# overcooked adapter draws no face at full strength; one that hides behind another trigger shows without any.
SCREENING_SCALES = (1.0, 1.0, 0.7)
_PERSON_WORDS = frozenset(
    ["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"]
)


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to be made; its control has the same fields but no adapter.

    Attributes:
        stage: "screening" or "evidence".
        number: within its stage.
        scale: adapter weight.
        trigger: what the prompt names, None for just a person.
    """

    stage: str
    number: int
    prompt: str
    negative_prompt: str
    seed: int
    scale: float
    trigger: str | None


def subject_of(trigger: str | None) -> str:
    """How a trigger is spoken of: as it is if it names a person's class, else followed by `person`."""
    if trigger is None:
        return "a person"
    return trigger if _PERSON_WORDS & set(trigger.lower().split()) else f"{trigger} person"


def seed_of(checkpoint_sha256: str, stage: str, number: int) -> int:
    """A 32-bit seed that nobody chose."""
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
    """Samples for each trigger, numbered from `first`.

    Args:
        triggers: at most MAX_TRIGGERS are used; None stands for just a person.

    Raises:
        ValueError: the scale is over MAX_SCALE, past which adapters distort whatever they draw.
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
