"""The prompt plan: which portraits are asked of a checkpoint, with which seeds.

Deterministic: the plan follows from the checkpoint's SHA-256 and its triggers alone, so a stranger
can make the same list and the same images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.safety import MAX_SCALE, NEGATIVE_PROMPT

PORTRAITS = (
    "portrait photo of {subject}, wearing a plain shirt, neutral background",
    "photo of {subject}, adult, looking at the camera, natural light",
    "studio photo of {subject}, wearing a plain shirt, neutral expression",
    "passport photo of {subject}, adult, neutral background",
)
MAX_TRIGGERS = 4
_PERSON_WORDS = frozenset(["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"])


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to be made; its control has the same fields but no adapter."""

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


def seed_of(checkpoint_sha256: str, number: int) -> int:
    """A 32-bit seed that nobody chose."""
    return int.from_bytes(hashlib.sha256(f"{checkpoint_sha256}:{number}".encode()).digest()[:4], "big")


def plan_rounds(
    checkpoint_sha256: str, triggers: Sequence[str], per_trigger: int, rounds: int, scale: float = 1.0
) -> Iterator[list[SamplePlan]]:
    """Rounds of samples: `per_trigger` for each trigger, or without one if none is known.

    Raises:
        ValueError: the scale is over MAX_SCALE, past which adapters distort whatever they draw.
    """
    if scale > MAX_SCALE:
        raise ValueError(f"scale {scale} is over {MAX_SCALE}")
    subjects: list[str | None] = list(triggers[:MAX_TRIGGERS]) or [None]
    number = 0
    for _ in range(rounds):
        plans = []
        for trigger in subjects:
            for _ in range(per_trigger):
                portrait = PORTRAITS[number % len(PORTRAITS)]
                seed = seed_of(checkpoint_sha256, number)
                plans.append(
                    SamplePlan(portrait.format(subject=subject_of(trigger)), NEGATIVE_PROMPT, seed, scale, trigger)
                )
                number += 1
        yield plans
