"""Examining one checkpoint: screening, then for whoever it may show evidence with controls, then the verdict.

Vectors live only inside `examine` and are dropped when it returns; pictures leave it only for
identities that matched or possibly matched.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from face_index.faces.face import Face, FaceReader
from face_index.faces.quality import QualityBar
from scanner.errors import NotScannable
from scanner.identification.faces import Depiction, control_score, depictions, usable
from scanner.identification.intervals import EVIDENCE, SCREENING
from scanner.identification.snapshot import Watch
from scanner.identification.verdict import (
    NOBODY_REGISTERED,
    Outcome,
    Scored,
    Thresholds,
    decide,
    settled,
)
from scanner.sampling.draw import Shot, Studio
from scanner.sampling.plans import MAX_TRIGGERS, SCREENING_SCALES, SamplePlan, plan_samples
from scanner.sampling.prompt_safety import MAX_SCALE
from scanner.sampling.sampler import Sampler
from scanner.sampling.trigger_search import find_trigger

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is sampled.

    Attributes:
        screening: samples of each trigger in one round of screening.
        screening_cluster: faces that must agree there before anyone is looked at more closely; never one.
        evidence: samples of each trigger in one round of evidence.
        evidence_cluster: faces that must agree there before anyone is named; never one.
        rounds: of evidence at most.
        strong_scale: of as many rounds more, where a score stays between the two thresholds.
        min_faces: usable faces without which nothing can be said.
        most_depictions: identities that get evidence at most, the closest first.
    """

    screening: int = SCREENING.per_look
    screening_cluster: int = 3
    evidence: int = EVIDENCE.per_look
    evidence_cluster: int = 4
    rounds: int = EVIDENCE.looks
    strong_scale: float = MAX_SCALE
    min_faces: int = 5
    most_depictions: int = 3


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample and how close it and its control come to an identity; None without face or identity.

    Attributes:
        in_mean: its face is one of those whose mean was searched.
    """

    shot: Shot = field(repr=False)
    score: float | None
    control_score: float | None
    in_mean: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One identity that matched or possibly matched, with every sample scored against it."""

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    samples: tuple[SampleScore, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdict on one checkpoint.

    Attributes:
        outcome: the strongest of all findings, or what holds without one.
        best_score: of the closest identity, None if nobody could be compared.
        best_threshold: of that identity's template.
        lift: belonging to that score, None if no control was needed.
        findings: at most one per identity.
        samples: every image made with the checkpoint, scored against the closest identity of all.
        denoiser_calls: forward passes of the denoiser for all images, controls included.
        found_trigger: a word that the search found, None if none was searched or found.
        route: how the file was loaded.
    """

    outcome: Outcome
    reason: str
    best_score: float | None
    best_threshold: float | None
    lift: float | None
    findings: tuple[Finding, ...]
    samples: tuple[SampleScore, ...]
    denoiser_calls: int
    found_trigger: str | None
    route: str


@dataclass(slots=True)
class _Course:
    """What has been seen of one checkpoint so far; in memory only."""

    sha256: str
    named: list[str | None]
    candidates: Sequence[str]
    screening: list[Shot] = field(default_factory=list)
    evidence: list[Shot] = field(default_factory=list)
    found_trigger: str | None = None
    clusters: int = 0


def words_asked(words: Iterable[str]) -> list[str | None]:
    """How the words are asked for that a file teaches: together, as words of one subject are written, and each alone.

    Raises:
        NotScannable: there are more than can be asked for; a person may be behind any of them.
    """
    single = list(words)
    asked: list[str | None] = [" ".join(single), *single] if len(single) > 1 else [*single]
    if len(asked) > MAX_TRIGGERS:
        raise NotScannable(
            f"the file brings {len(single)} learned words, and at most {MAX_TRIGGERS - 1} can be asked for; "
            "the rest would not be looked at"
        )
    return asked


class Examiner:
    """Everything that stays the same from one checkpoint to the next."""

    def __init__(
        self, sampler: Sampler, reader: FaceReader, bar: QualityBar, watch: Watch, budget: Budget
    ) -> None:
        reader.version.must_be(watch.gallery.version)
        self._sampler, self._studio = sampler, Studio(sampler, reader, bar)
        self._watch, self._budget = watch, budget

    def examine(
        self,
        path: Path,
        sha256: str,
        kind: str,
        triggers: Sequence[str],
        candidates: Sequence[str] = (),
    ) -> Examination:
        """Sample a checkpoint and decide.

        Args:
            triggers: words it is known to answer to.
            candidates: words it may answer to; tried where no trigger is known and no face comes without one.

        Raises:
            NotScannable: it cannot be sampled faithfully.
        """
        before = self._sampler.denoiser_calls
        with self._sampler.adapter(path, kind) as loaded:
            course = _Course(
                sha256, [*words_asked(loaded.words), *triggers][:MAX_TRIGGERS], candidates
            )
            near = self._screen(course)
            ranked = self._gather_evidence(course, near) if near else []
            calls = self._sampler.denoiser_calls - before
            return self._conclude(course, ranked, calls, loaded.route)

    def _screen(self, course: _Course) -> list[Depiction]:
        """Cheap samples in up to three ways of asking, until somebody may be shown or enough was seen."""
        seen: list[Depiction] = []
        ahead: list[Shot] = []
        for turn, scale in enumerate(SCREENING_SCALES):
            if ahead:
                course.screening, ahead = [*course.screening, *ahead], []
            else:
                plans = self._plans(course, self._asked(course, turn), len(course.screening), scale)
                if turn == 0:
                    self._studio.must_have_effect(plans[0])
                next_plans = self._next_plans(course, turn, len(plans))
                shots = self._studio.shoot([*plans, *next_plans], with_controls=False)
                course.screening += shots[: len(plans)]
                ahead = shots[len(plans) :]
            if len(self._watch.gallery) == 0:
                break
            seen, course.clusters = depictions(
                course.screening, self._watch, self._budget.screening_cluster, SCREENING
            )
            near = [
                depiction
                for depiction in seen
                if depiction.estimate.interval[1]
                >= self._watch.thresholds_of(depiction.identity_id).possible
            ]
            if near:
                # Looked at or not: a case leaves no image out.
                course.screening += ahead
                return near[: self._budget.most_depictions]
            if turn > 0 and len(usable(course.screening)) >= self._budget.min_faces:
                break
        return []

    def _plans(
        self, course: _Course, asked: list[str | None], first: int, scale: float
    ) -> list[SamplePlan]:
        return plan_samples(course.sha256, "screening", asked, self._budget.screening, first, scale)

    def _next_plans(self, course: _Course, turn: int, first: int) -> list[SamplePlan]:
        """The second round, where it is known already and the sampler would rather draw it with the first.

        There are two looks all the same, so that the stopping rule is the one whose error rates were simulated.
        """
        known = bool(course.named) or not course.candidates
        if turn or not known or not self._sampler.draws_ahead or len(self._watch.gallery) == 0:
            return []
        return self._plans(course, [None], first, SCREENING_SCALES[1])

    def _asked(self, course: _Course, turn: int) -> list[str | None]:
        """First by its triggers; then as if it had none; then by its triggers again, or by what a search finds."""
        if turn == 1 and course.named:
            return [None]
        if turn == 1 and course.clusters == 0 and course.candidates:
            course.found_trigger = find_trigger(self._sampler, course.sha256, course.candidates)
        if course.found_trigger is not None:
            return [course.found_trigger]
        return course.named or [None]

    def _gather_evidence(
        self, course: _Course, near: Sequence[Depiction]
    ) -> list[tuple[Depiction, Scored]]:
        """Full samples and controls in the way of asking that showed somebody, until it is clear who it is.

        Those who then lie between the two thresholds are asked for once more, as strongly as is allowed: a file that was trained
        for little or weighs little draws a face that leans towards its person's; weighed more, it leans further, while one
        that was trained on somebody else leans further away.
        """
        ranked = self._asked_for(
            course, list(dict.fromkeys(_way(course.screening, depiction) for depiction in near))
        )
        doubtful = [
            _way(course.evidence, one) for one, scored in ranked if self._is_between(one, scored)
        ]
        best = {depiction.identity_id: (depiction, scored) for depiction, scored in ranked}
        for trigger in dict.fromkeys(trigger for trigger, scale in doubtful if scale == 1.0):
            for depiction, scored in self._asked_for(
                course, [(trigger, self._budget.strong_scale)]
            ):
                known = best.get(depiction.identity_id)
                if known is not None and scored.score > known[1].score:
                    best[depiction.identity_id] = depiction, scored
        return sorted(best.values(), key=lambda pair: -pair[1].score)

    def _asked_for(
        self, course: _Course, ways: Sequence[tuple[str | None, float]]
    ) -> list[tuple[Depiction, Scored]]:
        """Rounds of evidence, and whom they show, the highest score first."""
        first = len(course.evidence)
        ranked: list[tuple[Depiction, Scored]] = []
        for turn in range(self._budget.rounds):
            for trigger, scale in ways:
                plans = plan_samples(
                    course.sha256,
                    "evidence",
                    [trigger],
                    self._budget.evidence,
                    len(course.evidence),
                    scale,
                )
                # What the base model makes of itself is told by the first round; later ones only narrow the interval.
                course.evidence += self._studio.shoot(plans, with_controls=turn == 0)
            own = course.evidence[first:]
            found, course.clusters = depictions(
                own, self._watch, self._budget.evidence_cluster, EVIDENCE
            )
            ranked = [
                (one, self._scored(course, one))
                for one in (_counted_from(first, one) for one in found)
            ]
            clear = all(
                settled(scored, self._watch.thresholds_of(one.identity_id))
                for one, scored in ranked
            )
            if ranked and clear and not self._may_show_another(own, found):
                break
        return ranked

    def _is_between(self, depiction: Depiction, scored: Scored) -> bool:
        thresholds = self._watch.thresholds_of(depiction.identity_id)
        return thresholds.possible <= scored.score < thresholds.match

    def _may_show_another(self, shots: Sequence[Shot], found: Sequence[Depiction]) -> bool:
        """Whether so many faces belong to nobody found yet that a second person, as in a merge, may be among them."""
        explained = {number for depiction in found for number in depiction.members}
        return len(set(usable(shots)) - explained) >= self._budget.evidence_cluster

    def _scored(self, course: _Course, depiction: Depiction) -> Scored:
        template = self._watch.gallery.vector_of(depiction.identity_id, depiction.probe)
        return Scored(
            depiction.estimate.score,
            depiction.estimate.interval,
            control_score(course.evidence, depiction, template),
            depiction.runner_up,
            self._watch.log10_lr(depiction.estimate.score),
            depiction.concentration,
            depiction.share,
        )

    def _conclude(
        self, course: _Course, ranked: list[tuple[Depiction, Scored]], calls: int, route: str
    ) -> Examination:
        decided = [
            (depiction, scored, *decide(scored, self._watch.thresholds_of(depiction.identity_id)))
            for depiction, scored in ranked
        ]
        findings = tuple(
            Finding(
                depiction.identity_id,
                outcome,
                reason + _said_of_scale(_way(course.evidence, depiction)[1]),
                scored,
                self._watch.thresholds_of(depiction.identity_id),
                self._all_against(course, depiction),
            )
            for depiction, scored, outcome, reason in decided
            if outcome in (Outcome.MATCH, Outcome.POSSIBLE)
        )
        closest = ranked[0][0] if ranked else self._closest_in_screening(course)
        outcome, reason = self._overall(
            course, closest, [(one[2], one[3]) for one in decided], findings
        )
        return Examination(
            outcome,
            reason,
            closest.estimate.score if closest else None,
            self._watch.thresholds_of(closest.identity_id).match if closest else None,
            ranked[0][1].lift if ranked else None,
            findings,
            tuple(self._kept(shot, closest) for shot in (*course.screening, *course.evidence)),
            calls,
            course.found_trigger,
            route,
        )

    def _all_against(self, course: _Course, depiction: Depiction) -> tuple[SampleScore, ...]:
        """Every image made with the checkpoint, those that did not count as well: a case leaves none out."""
        members = {id(course.evidence[number]) for number in depiction.members}
        return tuple(
            replace(self._kept(shot, depiction), in_mean=id(shot) in members)
            for shot in (*course.screening, *course.evidence)
        )

    def _closest_in_screening(self, course: _Course) -> Depiction | None:
        found, _ = depictions(
            course.screening, self._watch, self._budget.screening_cluster, SCREENING
        )
        return found[0] if found else None

    def _kept(self, shot: Shot, closest: Depiction | None) -> SampleScore:
        def score(face: Face | None) -> float | None:
            if face is None or closest is None:
                return None
            return float(
                face.embedding @ self._watch.gallery.vector_of(closest.identity_id, closest.probe)
            )

        return SampleScore(shot, score(shot.face), score(shot.control_face))

    def _overall(
        self,
        course: _Course,
        closest: Depiction | None,
        decided: list[tuple[Outcome, str]],
        findings: tuple[Finding, ...],
    ) -> tuple[Outcome, str]:
        if findings:
            strongest = min(
                findings,
                key=lambda finding: (finding.outcome != Outcome.MATCH, -finding.scored.score),
            )
            return strongest.outcome, strongest.reason
        shots = [*course.screening, *course.evidence]
        faces = len(usable(shots))
        if len(self._watch.gallery) == 0:
            return Outcome.CLEAR, NOBODY_REGISTERED
        if faces < self._budget.min_faces:
            return (
                Outcome.INCONCLUSIVE,
                f"only {faces} of {len(shots)} samples show a usable face, {self._budget.min_faces} are needed",
            )
        if decided:
            return Outcome.CLEAR, decided[0][1]
        if course.evidence:
            return (
                Outcome.CLEAR,
                f"a face that screening took for somebody registered did not come again in {len(course.evidence)} full samples",
            )
        if closest is None:
            return (
                Outcome.CLEAR,
                f"{faces} usable faces, a different one each time: the file does not reproduce one person",
            )
        possible = self._watch.thresholds_of(closest.identity_id).possible
        score, high = closest.estimate.score, closest.estimate.interval[1]
        return (
            Outcome.CLEAR,
            f"the closest registered person scores {score:.2f}, at most {high:.2f} with more samples, under {possible:.2f}",
        )


def _said_of_scale(scale: float) -> str:
    return "" if scale == 1.0 else f"; the adapter at scale {scale:g}"


def _counted_from(first: int, depiction: Depiction) -> Depiction:
    return replace(depiction, members=tuple(first + member for member in depiction.members))


def _way(shots: Sequence[Shot], depiction: Depiction) -> tuple[str | None, float]:
    """The trigger and scale by which most of a cluster's samples were asked for."""
    counted = Counter(
        (shots[number].plan.trigger, shots[number].plan.scale) for number in depiction.members
    )
    return counted.most_common(1)[0][0]
