"""Examining one checkpoint: rounds of samples, faces, clusters, search, controls, verdict.

Vectors live only inside `examine` and are dropped when it returns; pictures leave it only for
identities that matched or possibly matched.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from face_index.face import Face, FaceReader, Vector, unit
from face_index.quality import QualityBar
from scanner.clusters import Cluster, clusters_of
from scanner.errors import UnfaithfulLoad
from scanner.prompts import SamplePlan, plan_rounds
from scanner.sampling import Pixels, Sampler
from scanner.verdict import Outcome, Scored, Thresholds, decide, score_with_interval, settled
from scanner.watch import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is sampled.

    Attributes:
        per_trigger: samples of each trigger in one round.
        rounds: at most this many rounds.
        min_faces: usable faces without which nothing can be said.
        min_cluster: faces that must agree before anyone is searched for; never one.
        min_faces_without_cluster: usable faces after which a file that draws somebody else each time is done.
    """

    per_trigger: int = 8
    rounds: int = 3
    min_faces: int = 5
    min_cluster: int = 4
    min_faces_without_cluster: int = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample of a finding, with its control, as a reader of the report sees it."""

    plan: SamplePlan
    picture: Pixels
    control: Pixels
    score: float | None
    control_score: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One identity that matched or possibly matched."""

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdict on one checkpoint.

    Attributes:
        outcome: the strongest of all findings, or what holds without one.
        best_score: of the closest identity, None if nobody could be compared.
        best_threshold: of that identity's template.
        lift: belonging to that score, None if no control was needed.
        findings: at most one per identity.
        samples: images made with the adapter.
    """

    outcome: Outcome
    reason: str
    best_score: float | None
    best_threshold: float | None
    lift: float | None
    findings: tuple[Finding, ...]
    samples: int


@dataclass(slots=True)
class _Gathered:
    """What the rounds have produced so far; in memory only."""

    plans: list[SamplePlan]
    pictures: list[Pixels]
    faces: list[Face | None]
    controls: dict[int, Pixels]
    control_faces: dict[int, Face | None]

    @property
    def usable(self) -> list[int]:
        return [number for number, face in enumerate(self.faces) if face is not None]


class Examiner:
    """Everything that stays the same from one checkpoint to the next."""

    def __init__(
        self,
        sampler: Sampler,
        reader: FaceReader,
        bar: QualityBar,
        watch: Watch,
        budget: Budget,
    ) -> None:
        reader.version.must_be(watch.gallery.version)
        self._sampler, self._reader, self._bar = sampler, reader, bar
        self._gallery, self._watch, self._budget = watch.gallery, watch, budget

    def examine(self, path: Path, sha256: str, kind: str, triggers: Sequence[str]) -> Examination:
        """Sample a checkpoint and decide.

        Raises:
            NotScannable: it cannot be sampled faithfully.
        """
        gathered = _Gathered([], [], [], {}, {})
        ranked: list[tuple[str, Cluster, Scored]] = []
        with self._sampler.adapter(path, kind):
            for plans in plan_rounds(sha256, triggers, self._budget.per_trigger, self._budget.rounds):
                self._sample_round(gathered, plans)
                ranked = self._search(gathered)
                if self._enough(gathered, ranked):
                    break
            ranked = [self._with_control(gathered, *entry) for entry in ranked]
            return self._conclude(gathered, ranked)

    def _sample_round(self, gathered: _Gathered, plans: list[SamplePlan]) -> None:
        first = len(gathered.plans)
        pictures = self._sampler.generate(plans, with_adapter=True)
        gathered.plans += plans
        gathered.pictures += pictures
        gathered.faces += self._usable_faces(pictures)
        if first == 0:
            self._make_controls(gathered, range(min(2, len(plans))))
            if all(np.array_equal(gathered.pictures[number], control) for number, control in gathered.controls.items()):
                raise UnfaithfulLoad(
                    "the images are the same with and without the file: it has no effect on the base model"
                )

    def _usable_faces(self, pictures: Sequence[Pixels]) -> list[Face | None]:
        usable = [
            [face for face in faces if self._bar.objection(face) is None] for faces in self._reader.read(pictures)
        ]
        return [faces[0] if faces else None for faces in usable]

    def _search(self, gathered: _Gathered) -> list[tuple[str, Cluster, Scored]]:
        """The best cluster of every identity that comes first for some cluster."""
        numbers = gathered.usable
        vectors = [_vector(gathered.faces[number]) for number in numbers]
        best: dict[str, tuple[str, Cluster, Scored]] = {}
        for cluster in clusters_of(vectors, self._budget.min_cluster):
            members = replace(cluster, members=tuple(numbers[member] for member in cluster.members))
            closest = self._watch.closest(cluster.probe)
            if closest:
                chosen = [vectors[member] for member in cluster.members]
                identity_id = closest[0].identity_id
                score, interval = score_with_interval(chosen, self._gallery.vector_of(identity_id, cluster.probe))
                known = best.get(identity_id)
                if known is None or score > known[2].score:
                    runner_up = closest[1].score if len(closest) > 1 else None
                    scored = Scored(score, interval, None, runner_up, self._watch.log10_lr(score))
                    best[identity_id] = (identity_id, members, scored)
        return sorted(best.values(), key=lambda entry: -entry[2].score)

    def _enough(self, gathered: _Gathered, ranked: list[tuple[str, Cluster, Scored]]) -> bool:
        if len(gathered.usable) < self._budget.min_faces:
            return False
        if len(self._gallery) == 0:
            return True
        if not ranked:
            return len(gathered.usable) >= self._budget.min_faces_without_cluster
        return all(settled(scored, self._watch.thresholds_of(identity_id)) for identity_id, _, scored in ranked)

    def _make_controls(self, gathered: _Gathered, numbers: Sequence[int]) -> None:
        missing = [number for number in numbers if number not in gathered.controls]
        pictures = self._sampler.generate([gathered.plans[number] for number in missing], with_adapter=False)
        for number, picture, face in zip(missing, pictures, self._usable_faces(pictures), strict=True):
            gathered.controls[number] = picture
            gathered.control_faces[number] = face

    def _with_control(
        self, gathered: _Gathered, identity_id: str, cluster: Cluster, scored: Scored
    ) -> tuple[str, Cluster, Scored]:
        """The lift, worked out only where it can change the outcome: controls cost as much as samples."""
        if scored.score < self._watch.thresholds_of(identity_id).possible:
            return identity_id, cluster, scored
        self._make_controls(gathered, cluster.members)
        faces = [_vector(face) for number in cluster.members if (face := gathered.control_faces[number]) is not None]
        control = (
            float(unit(np.mean(faces, axis=0)) @ self._gallery.vector_of(identity_id, cluster.probe))
            if len(faces) >= 2
            else None
        )
        return identity_id, cluster, replace(scored, control_score=control)

    def _conclude(self, gathered: _Gathered, ranked: list[tuple[str, Cluster, Scored]]) -> Examination:
        decided = [
            (identity_id, cluster, scored, *decide(scored, self._watch.thresholds_of(identity_id)))
            for identity_id, cluster, scored in ranked
        ]
        findings = tuple(
            Finding(
                identity_id,
                outcome,
                reason,
                scored,
                self._watch.thresholds_of(identity_id),
                self._shown(gathered, identity_id, cluster),
            )
            for identity_id, cluster, scored, outcome, reason in decided
            if outcome in (Outcome.MATCH, Outcome.POSSIBLE)
        )
        outcome, reason = self._overall(gathered, decided, findings)
        if not ranked:
            return Examination(outcome, reason, None, None, None, findings, len(gathered.plans))
        identity_id, _, best = ranked[0]
        threshold = self._watch.thresholds_of(identity_id).match
        return Examination(outcome, reason, best.score, threshold, best.lift, findings, len(gathered.plans))

    def _overall(
        self,
        gathered: _Gathered,
        decided: list[tuple[str, Cluster, Scored, Outcome, str]],
        findings: tuple[Finding, ...],
    ) -> tuple[Outcome, str]:
        if findings:
            strongest = min(findings, key=lambda finding: (finding.outcome != Outcome.MATCH, -finding.scored.score))
            return strongest.outcome, strongest.reason
        usable, made = len(gathered.usable), len(gathered.plans)
        if usable < self._budget.min_faces:
            return (
                Outcome.INCONCLUSIVE,
                f"only {usable} of {made} samples show a usable face, {self._budget.min_faces} are needed",
            )
        if len(self._gallery) == 0:
            return Outcome.CLEAR, "nobody is registered, so nobody can be matched"
        if not decided:
            return (
                Outcome.CLEAR,
                f"{usable} usable faces, a different one each time: the file does not reproduce one person",
            )
        return Outcome.CLEAR, decided[0][4]

    def _shown(self, gathered: _Gathered, identity_id: str, cluster: Cluster) -> tuple[Shown, ...]:
        template = self._gallery.vector_of(identity_id, cluster.probe)

        def score(face: Face | None) -> float | None:
            return None if face is None else float(face.embedding @ template)

        return tuple(
            Shown(
                plan=gathered.plans[number],
                picture=gathered.pictures[number],
                control=gathered.controls[number],
                score=score(gathered.faces[number]),
                control_score=score(gathered.control_faces[number]),
            )
            for number in cluster.members
        )


def _vector(face: Face | None) -> Vector:
    if face is None:
        raise ValueError("only usable faces have a vector")
    return face.embedding
