"""Identification: whom the samples of one checkpoint show.

`identify` is a pure function. It searches what was drawn, and if that is not enough to decide, it
returns which samples or controls are needed. Called again with these as well, it takes the same
steps and goes on. So the same samples give the same verdict, whenever they were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from scanner.identification.clusters import clusters_of
from scanner.identification.conclusion import Identification, conclude
from scanner.identification.faces import mean_score
from scanner.identification.policy import CONFIRMATION, SCREENING, Policy, Schedule
from scanner.identification.samples import (
    CheckpointFaces,
    MoreControls,
    MoreSamples,
    SampleFace,
    usable,
)
from scanner.identification.search import ClusterMatch, search_clusters
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored, settled
from scanner.records import Question

_Ranked = list[tuple[ClusterMatch, Scored]]


def identify(
    faces: CheckpointFaces, snapshot: GallerySnapshot, policy: Policy
) -> Identification | MoreSamples | MoreControls:
    """Decide whom a checkpoint shows, or return what the decision needs.

    Args:
        faces: all rounds of screening, and the samples of confirmation that were drawn so far.
    """
    search = _Search(faces, snapshot, policy)
    near = search.candidates()
    ranked = search.confirm(near) if near else []
    if isinstance(ranked, MoreSamples):
        return ranked
    if missing := search.missing_controls(ranked):
        return MoreControls(missing)
    closest = ranked[0][0] if ranked else search.closest_in_screening()
    return conclude(faces, ranked, closest, snapshot, policy, has_candidates=bool(near))


def comes_near(faces: CheckpointFaces, snapshot: GallerySnapshot, policy: Policy) -> bool:
    """Whether screening has a candidate, without whom nobody can be found.

    Args:
        faces: samples of confirmation are not read.
    """
    return bool(_Search(faces, snapshot, policy).candidates())


def draws_one_face(screening: Sequence[Sequence[SampleFace]], policy: Policy) -> bool:
    """Whether any round of screening leaves a cluster, without which nobody can be a candidate."""
    faces = CheckpointFaces(tuple(map(tuple, screening)))
    return any(
        count_clusters(faces.screened(rounds), policy) > 0
        for rounds in range(1, len(faces.screening) + 1)
    )


def count_clusters(faces: Sequence[SampleFace], policy: Policy) -> int:
    """Return the number of clusters among samples of screening."""
    vectors = [face.vector for face in faces if face.vector is not None]
    return len(clusters_of(vectors, policy.screening_cluster))


@dataclass(frozen=True, slots=True)
class _Search:
    faces: CheckpointFaces
    snapshot: GallerySnapshot
    policy: Policy

    def candidates(self) -> list[ClusterMatch]:
        """Return whoever comes near in any look at screening, the closest first.

        The search runs after each round, as in the simulation of the error rates
        (scanner.identification.intervals). A file may show two people, of whom one comes near
        later than the other.
        """
        if len(self.snapshot.gallery) == 0:
            return []
        near: dict[str, ClusterMatch] = {}
        for rounds in range(1, len(self.faces.screening) + 1):
            for match in self._search(
                self.faces.screened(rounds), self.policy.screening_cluster, SCREENING
            ):
                known = near.get(match.identity_id)
                closer = known is None or match.estimate.score > known.estimate.score
                if self._is_near(match) and closer:
                    near[match.identity_id] = match
        closest_first = sorted(near.values(), key=lambda match: -match.estimate.score)
        return closest_first[: self.policy.most_candidates]

    def _is_near(self, match: ClusterMatch) -> bool:
        """Whether the interval of a match reaches the lower threshold."""
        possible = self.snapshot.thresholds_of(match.identity_id).possible
        return match.estimate.interval[1] >= possible

    def confirm(self, near: Sequence[ClusterMatch]) -> _Ranked | MoreSamples:
        """Rank the candidates by samples of confirmation with their triggers, and by controls.

        Candidates between the two thresholds get a second confirmation at the strong scale. A file
        that was trained briefly draws a face that only resembles its person. A stronger scale
        raises the score if the file was trained on the candidate, and lowers it if it was trained
        on somebody else.
        """
        screened = self.faces.screened(len(self.faces.screening))
        questions = list(dict.fromkeys(match.question(screened) for match in near))
        ranked = self._rounds(questions, {match.identity_id for match in near})
        if isinstance(ranked, MoreSamples):
            return ranked
        doubtful = [
            (match.identity_id, match.question(self.faces.confirmation))
            for match, scored in ranked
            if self._is_between(match, scored)
        ]
        best = {match.identity_id: (match, scored) for match, scored in ranked}
        full = dict.fromkeys(question for _, question in doubtful if abs(question.scale) >= 1)
        for question in full:
            asked = {identity_id for identity_id, own in doubtful if own == question}
            strong = question._replace(scale=question.scale * self.policy.strong_scale)
            stronger = self._rounds([strong], asked)
            if isinstance(stronger, MoreSamples):
                return stronger
            for match, scored in stronger:
                known = best.get(match.identity_id)
                if known is not None and scored.score > known[1].score:
                    best[match.identity_id] = match, scored
        return sorted(best.values(), key=lambda pair: -pair[1].score)

    def _rounds(
        self, questions: Sequence[Question], candidates: AbstractSet[str]
    ) -> _Ranked | MoreSamples:
        """Look at growing numbers of samples until each identity is settled; rank the identities.

        Args:
            questions: of the samples.
            candidates: ids of those for whom the samples are drawn.
        """
        own: list[int] = []
        ranked: _Ranked = []
        size = self.policy.confirmation
        for turn in range(self.policy.rounds):
            for question in questions:
                drawn = self._drawn(question)
                own += drawn[turn * size : (turn + 1) * size]
                missing = (turn + 1) * size - len(drawn)
                if missing > 0:
                    return MoreSamples(question, missing)
            samples = [self.faces.confirmation[number] for number in own]
            found = self._search(samples, self.policy.confirmation_cluster, CONFIRMATION)
            ranked = [
                (match, self._scored(match, own))
                for match in (_within(match, own) for match in found)
            ]
            clear = all(
                settled(scored, self.snapshot.thresholds_of(match.identity_id))
                for match, scored in ranked
            )
            if ranked and clear and not self._may_show_another(samples, found, candidates):
                break
        return ranked

    def _drawn(self, question: Question) -> list[int]:
        """Return the positions of the samples of confirmation of a question."""
        confirmation = self.faces.confirmation
        return [number for number, face in enumerate(confirmation) if face.question == question]

    def missing_controls(self, ranked: _Ranked) -> tuple[int, ...]:
        """Return the positions of samples of one trigger whose controls are needed next.

        Only a score over the lower threshold needs controls. Those of the first round of its
        triggers suffice to measure what the base model draws; later rounds only narrow the
        interval. Triggers are asked for one by one, so that batches do not depend on who else is
        registered.
        """
        faces = self.faces.confirmation
        questions = {
            faces[number].question
            for match, scored in ranked
            if scored.score >= self.snapshot.thresholds_of(match.identity_id).possible
            for number in match.members
        }
        for first in sorted(self._drawn(one)[: self.policy.confirmation] for one in questions):
            if lacking := tuple(number for number in first if not faces[number].has_control):
                return lacking
        return ()

    def _search(
        self, faces: Sequence[SampleFace], min_members: int, schedule: Schedule
    ) -> tuple[ClusterMatch, ...]:
        """Search faces in the gallery; members of a match are positions of samples."""
        numbers = [number for number, face in enumerate(faces) if face.vector is not None]
        found = search_clusters(
            [face.vector for face in faces if face.vector is not None],
            self.snapshot,
            min_members,
            schedule,
            weights=[faces[number].weight for number in numbers],
        )
        return tuple(_within(match, numbers) for match in found)

    def _is_between(self, match: ClusterMatch, scored: Scored) -> bool:
        thresholds = self.snapshot.thresholds_of(match.identity_id)
        return thresholds.possible <= scored.score < thresholds.match

    def _may_show_another(
        self,
        faces: Sequence[SampleFace],
        found: Sequence[ClusterMatch],
        candidates: AbstractSet[str],
    ) -> bool:
        """Whether the faces outside all matches may be those of a second person.

        They are enough for a cluster, or for half of one if a candidate is not among the matches.
        """
        explained = {number for match in found for number in match.members}
        others = len(set(usable(faces)) - explained)
        missing = candidates - {match.identity_id for match in found}
        enough = self.policy.confirmation_cluster
        return others >= (enough / 2 if missing else enough)

    def _scored(self, match: ClusterMatch, samples: Sequence[int]) -> Scored:
        """Return the input of the decision about a match.

        Args:
            samples: positions of the samples of confirmation that were looked at.
        """
        template = self.snapshot.gallery.vector_of(match.identity_id, match.probe)
        controls = [self.faces.confirmation[number].control for number in match.members]
        share = self._share(match, samples)
        return replace(match, share=share).scored(self.snapshot, mean_score(controls, template))

    def _share(self, match: ClusterMatch, samples: Sequence[int]) -> float:
        """Return the share of a match in the usable faces that its most frequent trigger draws.

        A file with a trigger for each of several people draws the others with their triggers.
        """
        faces = self.faces.confirmation
        question = match.question(faces)
        drawn = [faces[number] for number in samples if faces[number].question == question]
        members = sum(faces[number].question == question for number in match.members)
        return members / max(1, len(usable(drawn)))

    def closest_in_screening(self) -> ClusterMatch | None:
        """Return the closest identity of all samples of screening; None without a cluster."""
        screened = self.faces.screened(len(self.faces.screening))
        return next(iter(self._search(screened, self.policy.screening_cluster, SCREENING)), None)


def _within(match: ClusterMatch, numbers: Sequence[int]) -> ClusterMatch:
    return replace(match, members=tuple(numbers[member] for member in match.members))
