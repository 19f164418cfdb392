"""Screening: cheap samples that ask a file what its users may ask it.

The questions depend on the file alone, whoever is registered, so that a person who registers later
can be searched in what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from face_index.faces.face import Vector
from reports.reasons.reason import Reason
from scanner.errors import NotScannable
from scanner.identification.clusters import clusters_of
from scanner.identification.identify import count_clusters
from scanner.identification.policy import MIN_COSINE_WITHIN, Policy
from scanner.records import Question
from scanner.sampling.effect_check import LEAST_PLAUSIBLE, Effect, effect_of
from scanner.sampling.image_generator import ImageGenerator, LoadedFile
from scanner.sampling.plans import (
    FULL_TRIGGERS,
    MAX_TRIGGERS,
    WEAKER_SCALE,
    PlanBasis,
    SamplePlan,
    plan_samples,
)
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.trigger_search import find_trigger
from scanner.scanning.observations import ObservedSample, SampleObserver, faces_of

# A question beyond the first ones is asked with this many samples. If their faces may be the same,
# as many follow, so that a cluster can come of them.
_FIRST_LOOK = 2
# So many of the words that a file answers to are asked.
_MOST_ANSWERING = 8
# Two samples of a file of one person have a cosine of 0.6 and more; those of other files have 0.2
# on average (benchmarks/RESULTS.md).
_MAY_BE_SAME = 0.35
# Learned words of more vectors than this are not written together: one would push the other out of
# the prompt.
_MOST_VECTORS_TOGETHER = 24


def prompt_words(words: Iterable[str], vectors: int = 0) -> list[str]:
    """Return triggers for the learned words of a file: all words together, then each alone.

    Several words may have been learned for one subject and must then be written together.

    Args:
        vectors: number of vectors of all words together.

    Raises:
        NotScannable: there are more words than prompts; any of them may stand for a person.
    """
    single = list(words)
    if len(single) >= MAX_TRIGGERS:
        limits = {"words": len(single), "most": MAX_TRIGGERS - 1}
        raise NotScannable(Reason("too-many-words", limits).in_english())
    together = len(single) > 1 and vectors <= _MOST_VECTORS_TOGETHER
    return [*([" ".join(single)] if together else []), *single]


def changed_prompts(words: Sequence[str]) -> list[str]:
    """Return triggers for words of the vocabulary that a file gives another meaning.

    All are written together, in the order of the vocabulary, and each alone.
    """
    allowed = usable_triggers(words)
    together = usable_triggers([" ".join(allowed)]) if len(allowed) > 1 else ()
    return [*together, *allowed]


@dataclass(slots=True)
class Screening:
    """The rounds of screening of one checkpoint; pictures and vectors in memory only.

    Attributes:
        basis: what all plans of the file follow from.
        triggers: known triggers of the file.
        candidates: words that the trigger search may try.
        answering: words that the file's weights answer to.
        rounds: the samples of each round.
        found_trigger: a word that the trigger search found.
        doubts: why nobody found does not mean that the file shows nobody, as English sentences.
    """

    basis: PlanBasis
    triggers: list[str | None]
    candidates: Sequence[str]
    answering: Sequence[str] = ()
    rounds: list[list[ObservedSample]] = field(default_factory=list)
    found_trigger: str | None = None
    doubts: list[str] = field(default_factory=list)

    @property
    def samples(self) -> list[ObservedSample]:
        """The samples of all rounds."""
        return [sample for each in self.rounds for sample in each]


class Screener:
    """Draws the samples of screening."""

    def __init__(
        self, sampler: ImageGenerator, observer: SampleObserver, policy: Policy, loaded: LoadedFile
    ) -> None:
        self._sampler, self._observer, self._policy = sampler, observer, policy
        # Learned words and full checkpoints have one strength.
        self._scalable = loaded.route not in ("embedding", "checkpoint")
        self._companions = loaded.companions

    def screen(self, screening: Screening) -> None:
        """Draw all rounds that the file needs.

        The first round asks by the first triggers, the second one two samples of everything else.
        A weaker round follows if few faces were usable.

        Raises:
            UnfaithfulLoad: the file has no effect.
        """
        answering = _unexplained(screening.answering, screening.triggers)
        is_told = bool(screening.triggers)
        if not is_told:
            screening.triggers, answering = list(answering[:FULL_TRIGGERS]), []
        first = [Question(trigger) for trigger in screening.triggers[:FULL_TRIGGERS] or [None]]
        effect = self._effect(screening, first)
        further = [*screening.triggers[FULL_TRIGGERS:MAX_TRIGGERS], *answering]
        search = bool(screening.candidates) and not is_told
        self._ask(screening, first, [Question(one) for one in further], effect, search=search)
        faces = sum(sample.drawn.has_face for sample in screening.samples)
        if faces < self._policy.min_faces:
            weaker = [question._replace(scale=WEAKER_SCALE) for question in first]
            plans = self._plans(screening, weaker, self._policy.screening)
            screening.rounds.append(self._observer.observe(plans))
        screening.doubts += [reason.in_english() for reason in _doubts(screening, effect)]

    def _effect(self, screening: Screening, questions: Sequence[Question]) -> Effect:
        """Measure the file's effect at the first sample of each of these questions."""
        plans = self._plans(screening, questions, 1)
        return effect_of(self._sampler, plans, scalable=self._scalable)

    def _ask(
        self,
        screening: Screening,
        first: Sequence[Question],
        further: Sequence[Question],
        effect: Effect,
        *,
        search: bool,
    ) -> None:
        """Draw the first round and a look at everything else.

        Args:
            search: search a trigger if the first round shows no face again. Without a search both
                share batches.
        """
        plans = self._plans(screening, first, self._policy.screening)
        if search:
            screening.rounds.append(self._observer.observe(plans))
            plans = []
            if not self._draws_one_face(screening):
                screening.found_trigger = find_trigger(
                    self._sampler, screening.basis, screening.candidates
                )
            if screening.found_trigger is not None:
                further = [Question(screening.found_trigger), *further]
        others = self._others(screening, first, further, effect)
        observed = self._observer.observe(
            [*plans, *self._plans(screening, others, _FIRST_LOOK, plans)]
        )
        if plans:
            screening.rounds.append(observed[: len(plans)])
        looked = observed[len(plans) :]
        screening.rounds.append(looked)
        self._look_again(screening, others, looked)

    def _others(
        self,
        screening: Screening,
        first: Sequence[Question],
        further: Sequence[Question],
        effect: Effect,
    ) -> list[Question]:
        """Return the questions beside the first ones.

        No trigger is named, because a file that was trained on an unlisted one often draws its
        subject without any. A file may answer at another size only, be stored at a tenth of its
        strength or with a minus sign, or be a part of a sum of files. A file that draws one face
        may hide another one, so nothing of this is left out.
        """
        trigger = (further if screening.found_trigger is not None else first)[0].trigger
        found = [Question(None), *further]
        if self._scalable:
            found += [Question(trigger, effect.usual_scale), Question(trigger, -effect.usual_scale)]
        found.append(Question(trigger, size_share=screening.basis.other_size()))
        if self._companions:
            found.append(Question(trigger, companions=self._companions))
        return [one for one in dict.fromkeys(found) if one not in first]

    def _look_again(
        self, screening: Screening, asked: Sequence[Question], looked: Sequence[ObservedSample]
    ) -> None:
        """Draw two more samples of the questions whose first two may show one more face."""
        clusters = clusters_of(_faces(screening.rounds[0]), self._policy.screening_cluster)
        known = [cluster.probe for cluster in clusters]
        by_question: dict[Question, list[ObservedSample]] = {question: [] for question in asked}
        for sample in looked:
            by_question[sample.drawn.plan.question].append(sample)
        again = [
            question for question in asked if _may_be_another_face(by_question[question], known)
        ]
        plans = self._plans(screening, again, _FIRST_LOOK)
        if plans:
            screening.rounds.append(self._observer.observe(plans))

    def _plans(
        self,
        screening: Screening,
        questions: Sequence[Question],
        count: int,
        planned: Sequence[SamplePlan] = (),
    ) -> list[SamplePlan]:
        drawn = [sample.drawn.plan for sample in screening.samples]
        return plan_samples(screening.basis, "screening", questions, count, [*drawn, *planned])

    def _draws_one_face(self, screening: Screening) -> bool:
        """Whether the faces so far hold a cluster."""
        faces = faces_of(screening.rounds, []).all
        return count_clusters(faces, self._policy) > 0


def _unexplained(words: Sequence[str], triggers: Sequence[str | None]) -> list[str]:
    """Return the first usable words that a file answers to and that no trigger holds."""
    known = {part for trigger in triggers if trigger for part in trigger.lower().split()}
    return [word for word in usable_triggers(words) if word not in known][:_MOST_ANSWERING]


def _faces(samples: Sequence[ObservedSample]) -> list[Vector]:
    return [sample.vectors[False] for sample in samples if False in sample.vectors]


def _may_be_another_face(samples: Sequence[ObservedSample], known: Sequence[Vector]) -> bool:
    """Whether two samples may show one face: they are alike, or only one has a usable face.

    Args:
        known: the faces that the first round shows again and again; they need no more samples.
    """
    vectors = _faces(samples)
    if any(float(face @ one) >= MIN_COSINE_WITHIN for face in known for one in vectors):
        return False
    if len(vectors) < _FIRST_LOOK:
        return bool(vectors)
    return float(vectors[0] @ vectors[1]) >= _MAY_BE_SAME


def _doubts(screening: Screening, effect: Effect) -> list[Reason]:
    """Return why nobody found would not mean that the file shows nobody."""
    found = []
    left = len(screening.triggers) - MAX_TRIGGERS
    if left > 0:
        words = {"left": left, "words": len(screening.triggers)}
        found.append(Reason("words-not-asked", words))
    if effect.share < LEAST_PLAUSIBLE:
        found.append(Reason("unusually-weak", {"share": float(f"{effect.share:.2g}")}))
    return found
