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

from scanner.records import Question
from scanner.sampling.prompts import negative_prompt, portrait_prompt

# Counts changes of prompts, seeds and rounds. It is a part of every sampling key.
PLAN_VERSION = 3
# The first triggers get a whole round of samples each, the others only two samples at first.
FULL_TRIGGERS, MAX_TRIGGERS = 4, 24
# Adapter scale of the last round of screening. An overtrained adapter draws no face at full
# strength.
WEAKER_SCALE = 0.7
# The largest adapter weight of a sample: that of a file with a hundredth of the usual effect, in a
# second confirmation.
MOST_SCALE = 120.0
# So many samples of a question in a row have one number of steps. More settings in a round would
# divide its batch.
SAMPLES_PER_SETTING = 4
_LEAST_STEPS_TO_VARY, _LARGE = 6, 256
_PERSON_WORDS = frozenset(
    ["person", "woman", "man", "lady", "guy", "female", "male", "actress", "actor"]
)
# Sizes beside a base model's own one, as people choose them; both differ from it for every model.
OTHER_SIZES = (1.25, 0.75)


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """One sample to draw; its control has the same fields and no adapter.

    Attributes:
        stage: "screening" or "evidence" (confirmation).
        number: counts the samples of a stage, in the order in which they were drawn.
        scale: adapter weight; negative for files that are made to be loaded with a minus sign.
        trigger: the word in the prompt; None for a prompt about a person in general.
        steps: denoising steps; None for those of the stage.
        size_share: width and height, as a share of those of the stage.
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
    size_share: float = 1.0
    companions: tuple[str, ...] = ()

    @property
    def question(self) -> Question:
        """What it asks the checkpoint."""
        return Question(self.trigger, self.scale, self.size_share, self.companions)


def size_of(stage_size: int, share: float) -> int:
    """Return width and height in pixels, a multiple of 64, or of 16 for small models."""
    grid = 64 if stage_size >= _LARGE else 16
    return stage_size if share == 1.0 else round(stage_size * share / grid) * grid


def steps_near(steps: int) -> tuple[int, ...]:
    """Return the numbers of denoising steps between which the plans of a stage alternate.

    Of a few steps none can be left out, and another one costs much, so it is added seldom.
    """
    if steps < _LEAST_STEPS_TO_VARY:
        return (steps, steps, steps, steps + 1)
    away = steps // 6
    return (steps - away, steps, steps + away)


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What all plans of one checkpoint follow from.

    Attributes:
        installation: id of the installation; not secret, and recorded with the samples.
        steps: numbers of denoising steps by stage; without any, those of the stage are used.
    """

    checkpoint_sha256: str
    installation: str = ""
    steps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def plan(self, stage: str, number: int, question: Question, index: int) -> SamplePlan:
        """Return the plan of one sample.

        Args:
            index: place among the samples of this stage and question, from 0.
        """
        trigger, scale, share, companions = question
        asked = f"{stage}:{trigger or ''}:{scale}:{share}:{','.join(companions)}"

        def choose(name: str, count: int) -> int:
            return self.number(f"{asked}:{index}:{name}") % count

        steps = None
        if several := self.steps.get(stage):
            # The same for all questions, so that they share batches.
            first = self.number(f"{stage}:steps")
            steps = several[(first + index // SAMPLES_PER_SETTING) % len(several)]
        return SamplePlan(
            stage,
            number,
            portrait_prompt(subject_of(trigger), choose),
            negative_prompt(choose),
            self.number(f"{asked}:{index}"),
            scale,
            trigger,
            steps,
            share,
            companions,
        )

    def other_size(self) -> float:
        """Return the share of the stage's size at which a checkpoint is asked too."""
        return OTHER_SIZES[self.number("size") % len(OTHER_SIZES)]

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
    questions: Sequence[Question],
    per_question: int,
    drawn: Sequence[SamplePlan] = (),
) -> list[SamplePlan]:
    """Return the plans of `per_question` further samples for each question.

    Args:
        drawn: the plans of this stage so far; the new ones go on from them.

    Raises:
        ValueError: a scale is larger than MOST_SCALE.
    """
    plans = list(drawn)
    for question in questions:
        if abs(question.scale) > MOST_SCALE:
            raise ValueError(f"scale {question.scale} is larger than {MOST_SCALE}")
        first = sum(plan.question == question for plan in plans)
        plans += [
            basis.plan(stage, len(plans) + place, question, first + place)
            for place in range(per_question)
        ]
    return plans[len(drawn) :]
