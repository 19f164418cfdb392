"""The sample plan: the prompts, seeds and settings with which a checkpoint is sampled.

A plan follows from the question that it asks: the checkpoint's SHA-256, stage, trigger, scale, and
the sample's place among those of the same question. It does not depend on who is registered or on
what was asked before. It also depends on the installation, so that nobody can train a file against
plans that are known in advance. Every sample is recorded with its plan, so that anybody can
reproduce the same images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scanner.sampling.prompts import negative_prompt, portrait_prompt

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
# So many samples of a question in a row have one number of steps and one size. More settings in a
# round would divide its batch.
SAMPLES_PER_SETTING = 4
_PERSON_WORDS = frozenset(
    ["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"]
)
# Sizes beside a base model's own one, as people choose them.
_OTHER_SIZES = (1.25, 0.875)


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to draw; its control has the same fields and no adapter.

    Attributes:
        stage: "screening" or "evidence" (confirmation).
        number: counts the samples of a stage, in the order in which they were drawn.
        scale: adapter weight; negative for files that are made to be loaded with a minus sign.
        trigger: the word in the prompt; None for a prompt about a person in general.
        steps, size: denoising steps, and width and height in pixels; None for the stage's own.
        companions: SHA-256 of the files that are loaded beside the checkpoint, with the same scale.
    """

    stage: str
    number: int
    prompt: str
    negative_prompt: str
    seed: int
    scale: float
    trigger: str | None
    steps: int | None = None
    size: int | None = None
    companions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageOptions:
    """The settings between which a stage's plans alternate.

    Attributes:
        steps: numbers of denoising steps.
        sizes: width and height, pixels.
    """

    steps: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def around(cls, steps: int, size: int, *, fixed_steps: bool = False) -> StageOptions:
        """Return settings near those of a stage.

        Args:
            fixed_steps: an accelerator was trained for this number of steps.
        """
        away = max(1, steps // 6)
        fewer = steps - away if steps >= _LEAST_STEPS_TO_VARY else steps
        grid = 64 if size >= _LARGE else 16
        others = (round(size * share / grid) * grid for share in _OTHER_SIZES)
        sizes = tuple(dict.fromkeys((size, *others)))
        return cls((steps,) if fixed_steps else (fewer, steps, steps + away), sizes)


_LEAST_STEPS_TO_VARY, _LARGE = 6, 256


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What all plans of one checkpoint follow from.

    Attributes:
        installation: id of the installation; not secret, and recorded with the samples.
        stages: settings by stage; without any, those of the base model are used.
    """

    checkpoint_sha256: str
    installation: str = ""
    stages: Mapping[str, StageOptions] = field(default_factory=dict)

    def plan(
        self,
        stage: str,
        number: int,
        trigger: str | None,
        scale: float,
        index: int,
        companions: tuple[str, ...] = (),
    ) -> SamplePlan:
        """Return the plan of one sample.

        Args:
            index: place among the samples of this stage, trigger, scale and companions, from 0.
        """
        question = f"{stage}:{trigger or ''}:{scale}:{index}:{','.join(companions)}"

        def choose(name: str, count: int) -> int:
            return self.number(f"{question}:{name}") % count

        steps, size = self._setting(stage, scale, index // SAMPLES_PER_SETTING)
        return SamplePlan(
            stage,
            number,
            portrait_prompt(subject_of(trigger), choose),
            negative_prompt(choose),
            self.number(question),
            scale,
            trigger,
            steps,
            size,
            companions,
        )

    def _setting(self, stage: str, scale: float, turn: int) -> tuple[int | None, int | None]:
        """Return steps and size of a turn; the turns of one scale go through all of them."""
        if stage not in self.stages:
            return None, None
        options = self.stages[stage]
        first_steps = self.number(f"{stage}:{scale}:steps")
        first_size = self.number(f"{stage}:{scale}:size")
        return (
            options.steps[(first_steps + turn) % len(options.steps)],
            options.sizes[(first_size + turn) % len(options.sizes)],
        )

    def number(self, text: str) -> int:
        """Return 32 bits that follow from the file, the installation and a text."""
        whole = f"{self.installation}:{self.checkpoint_sha256}:{text}"
        return int.from_bytes(hashlib.sha256(whole.encode()).digest()[:4], "big")


def subject_of(trigger: str | None) -> str:
    """Return the subject of a prompt: the trigger, followed by `person` if it has no class word."""
    if trigger is None:
        return "a person"
    return trigger if _PERSON_WORDS & set(trigger.lower().split()) else f"{trigger} person"


def plan_samples(
    basis: PlanBasis,
    stage: str,
    triggers: Sequence[str | None],
    per_trigger: int,
    drawn: Sequence[SamplePlan] = (),
    scale: float = 1.0,
    companions: tuple[str, ...] = (),
) -> list[SamplePlan]:
    """Return the plans of `per_trigger` further samples for each trigger.

    Args:
        triggers: at most MAX_TRIGGERS are used; None stands for a person in general.
        drawn: the plans of this stage so far; the new ones go on from them.
        companions: SHA-256 of files that are loaded beside the checkpoint.

    Raises:
        ValueError: the scale is larger than MOST_SCALE.
    """
    if abs(scale) > MOST_SCALE:
        raise ValueError(f"scale {scale} is larger than {MOST_SCALE}")
    plans = list(drawn)
    for trigger in triggers[:MAX_TRIGGERS]:
        question = (trigger, scale, companions)
        first = sum((plan.trigger, plan.scale, plan.companions) == question for plan in plans)
        plans += [
            basis.plan(stage, len(plans) + place, trigger, scale, first + place, companions)
            for place in range(per_trigger)
        ]
    return plans[len(drawn) :]
