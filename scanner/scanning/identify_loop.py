"""The loop that draws samples of one checkpoint until the verdict is decided.

Screening draws cheap samples. Candidates get full samples with controls (confirmation, stored as
stage "evidence"). Vectors exist only inside `identify`; pictures leave it only for identities that
matched or possibly matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reports.reasons.reason import Reason
from scanner.errors import NotScannable
from scanner.identification.faces import FaceFinder, mean_score
from scanner.identification.policy import CONFIRMATION, SCREENING, Policy, Schedule
from scanner.identification.search import ClusterMatch, SearchResult, search_clusters
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored, settled
from scanner.sampling.draw import require_effect
from scanner.sampling.plans import MAX_TRIGGERS, SCREENING_SCALES, SamplePlan, plan_samples
from scanner.sampling.sampler import Sampler
from scanner.sampling.trigger_search import find_trigger
from scanner.scanning.conclusion import (
    CheckpointSamples,
    Conclusion,
    conclude,
    trigger_and_scale_of,
)
from scanner.scanning.observations import ObservedSample, SampleObserver, usable


def prompt_words(words: Iterable[str]) -> list[str | None]:
    """Return triggers for the learned words of a file: all words together, then each alone.

    Several words may have been learned for one subject and must then be written together.

    Raises:
        NotScannable: there are more words than prompts; any of them may stand for a person.
    """
    single = list(words)
    triggers: list[str | None] = [" ".join(single), *single] if len(single) > 1 else [*single]
    if len(triggers) > MAX_TRIGGERS:
        limits = {"words": len(single), "most": MAX_TRIGGERS - 1}
        raise NotScannable(Reason("too-many-words", limits).in_english())
    return triggers


@dataclass(slots=True)
class _Progress:
    """The samples of one checkpoint so far; in memory only.

    Attributes:
        triggers: known triggers of the file.
        candidates: words that the trigger search may try.
        clusters: number of clusters in the last search.
    """

    sha256: str
    triggers: list[str | None]
    candidates: Sequence[str]
    screening: list[ObservedSample] = field(default_factory=list)
    confirmation: list[ObservedSample] = field(default_factory=list)
    found_trigger: str | None = None
    clusters: int = 0


class IdentifyLoop:
    """Examines checkpoints: draws samples, searches their faces, and decides."""

    def __init__(
        self, sampler: Sampler, finder: FaceFinder, snapshot: GallerySnapshot, policy: Policy
    ) -> None:
        finder.reader.version.must_be(snapshot.gallery.version)
        self._sampler, self._observer = sampler, SampleObserver(sampler, finder)
        self._snapshot, self._policy = snapshot, policy

    def identify(
        self,
        path: Path,
        sha256: str,
        kind: str,
        triggers: Sequence[str],
        candidates: Sequence[str] = (),
    ) -> Conclusion:
        """Sample a checkpoint and decide.

        Args:
            triggers: known triggers.
            candidates: possible triggers; tried if no trigger is known and no face is found without
                one.

        Raises:
            NotScannable: it cannot be sampled faithfully.
        """
        before = self._sampler.denoiser_calls
        with self._sampler.adapter(path, kind) as loaded:
            known = [*prompt_words(loaded.words), *triggers][:MAX_TRIGGERS]
            progress = _Progress(sha256, known, candidates)
            near = self._screen(progress)
            ranked = self._confirm(progress, near) if near else []
            seen = CheckpointSamples(
                progress.screening,
                progress.confirmation,
                self._sampler.denoiser_calls - before,
                progress.found_trigger,
                loaded.route,
            )
            closest = ranked[0][0] if ranked else self._closest_in_screening(progress)
            return conclude(seen, ranked, closest, self._snapshot, self._policy)

    def _screen(self, progress: _Progress) -> list[ClusterMatch]:
        """Draw cheap samples in up to three rounds and return the candidates for confirmation."""
        ahead: list[ObservedSample] = []
        for turn, scale in enumerate(SCREENING_SCALES):
            if ahead:
                progress.screening, ahead = [*progress.screening, *ahead], []
            else:
                plans = self._screening_plans(
                    progress, self._triggers_of(progress, turn), len(progress.screening), scale
                )
                if turn == 0:
                    require_effect(self._sampler, plans[0])
                next_plans = self._next_plans(progress, turn, len(plans))
                observed = self._observer.observe([*plans, *next_plans], with_controls=False)
                progress.screening += observed[: len(plans)]
                ahead = observed[len(plans) :]
            if len(self._snapshot.gallery) == 0:
                break
            found = self._search(progress.screening, self._policy.screening_cluster, SCREENING)
            progress.clusters = found.clusters
            near = [match for match in found.matches if self._is_near(match)]
            if near:
                # A case shows every image, also those that the search did not need.
                progress.screening += ahead
                return near[: self._policy.most_candidates]
            if turn > 0 and len(usable(progress.screening)) >= self._policy.min_faces:
                break
        return []

    def _is_near(self, match: ClusterMatch) -> bool:
        """Whether the interval of a match reaches the lower threshold."""
        possible = self._snapshot.thresholds_of(match.identity_id).possible
        return match.estimate.interval[1] >= possible

    def _screening_plans(
        self, progress: _Progress, triggers: list[str | None], first: int, scale: float
    ) -> list[SamplePlan]:
        count = self._policy.screening
        return plan_samples(progress.sha256, "screening", triggers, count, first, scale)

    def _next_plans(self, progress: _Progress, turn: int, first: int) -> list[SamplePlan]:
        """Return the plans of the second round, if they are known already and drawn ahead.

        The search still runs after each round, so that the stopping rule is the one whose error
        rates were simulated.
        """
        known = bool(progress.triggers) or not progress.candidates
        if turn or not known or not self._sampler.draws_ahead or len(self._snapshot.gallery) == 0:
            return []
        return self._screening_plans(progress, [None], first, SCREENING_SCALES[1])

    def _triggers_of(self, progress: _Progress, turn: int) -> list[str | None]:
        """Return the triggers of one round of screening.

        The first and the third round use the known triggers, the second none. Without a known
        trigger and without a cluster in the first round, the second and third use the word that the
        trigger search finds.
        """
        if turn == 1 and progress.triggers:
            return [None]
        if turn == 1 and progress.clusters == 0 and progress.candidates:
            progress.found_trigger = find_trigger(
                self._sampler, progress.sha256, progress.candidates
            )
        if progress.found_trigger is not None:
            return [progress.found_trigger]
        return progress.triggers or [None]

    def _confirm(
        self, progress: _Progress, near: Sequence[ClusterMatch]
    ) -> list[tuple[ClusterMatch, Scored]]:
        """Draw full samples and controls with the candidates' triggers, until each is settled.

        Candidates between the two thresholds get a second confirmation at the strong scale. A file
        that was trained briefly draws a face that only resembles its person. A stronger scale
        raises the score if the file was trained on the candidate, and lowers it if it was trained
        on somebody else.
        """
        first_ways = list(
            dict.fromkeys(trigger_and_scale_of(progress.screening, match) for match in near)
        )
        ranked = self._confirmation_rounds(progress, first_ways)
        doubtful = [
            trigger_and_scale_of(progress.confirmation, match)
            for match, scored in ranked
            if self._is_between(match, scored)
        ]
        best = {match.identity_id: (match, scored) for match, scored in ranked}
        for trigger in dict.fromkeys(trigger for trigger, scale in doubtful if scale == 1.0):
            strong = [(trigger, self._policy.strong_scale)]
            for match, scored in self._confirmation_rounds(progress, strong):
                known = best.get(match.identity_id)
                if known is not None and scored.score > known[1].score:
                    best[match.identity_id] = match, scored
        return sorted(best.values(), key=lambda pair: -pair[1].score)

    def _confirmation_rounds(
        self, progress: _Progress, ways: Sequence[tuple[str | None, float]]
    ) -> list[tuple[ClusterMatch, Scored]]:
        """Draw rounds of confirmation and return the identities found, the highest score first.

        Args:
            ways: trigger and scale of the samples.
        """
        first = len(progress.confirmation)
        ranked: list[tuple[ClusterMatch, Scored]] = []
        for turn in range(self._policy.rounds):
            for trigger, scale in ways:
                plans = plan_samples(
                    progress.sha256,
                    "evidence",
                    [trigger],
                    self._policy.confirmation,
                    len(progress.confirmation),
                    scale,
                )
                # Controls of the first round suffice to measure what the base model draws. Later
                # rounds only narrow the interval.
                progress.confirmation += self._observer.observe(plans, with_controls=turn == 0)
            own = progress.confirmation[first:]
            found = self._search(own, self._policy.confirmation_cluster, CONFIRMATION)
            progress.clusters = found.clusters
            ranked = [
                (match, self._scored(progress, match))
                for match in (_shifted(match, first) for match in found.matches)
            ]
            clear = all(
                settled(scored, self._snapshot.thresholds_of(match.identity_id))
                for match, scored in ranked
            )
            if ranked and clear and not self._may_show_another(own, found.matches):
                break
        return ranked

    def _search(
        self, observed: Sequence[ObservedSample], min_members: int, schedule: Schedule
    ) -> SearchResult:
        """Search the samples' faces in the gallery; members of a match are positions of samples."""
        numbers = usable(observed)
        faces = [observed[number].face for number in numbers]
        found = search_clusters(
            [face.embedding for face in faces if face is not None],
            self._snapshot,
            min_members,
            schedule,
            weights=[observed[number].weight for number in numbers],
        )
        matches = tuple(
            replace(match, members=tuple(numbers[member] for member in match.members))
            for match in found.matches
        )
        return SearchResult(matches, found.clusters)

    def _is_between(self, match: ClusterMatch, scored: Scored) -> bool:
        thresholds = self._snapshot.thresholds_of(match.identity_id)
        return thresholds.possible <= scored.score < thresholds.match

    def _may_show_another(
        self, observed: Sequence[ObservedSample], found: Sequence[ClusterMatch]
    ) -> bool:
        """Whether the faces outside all matches are enough for a cluster of a second person."""
        explained = {number for match in found for number in match.members}
        return len(set(usable(observed)) - explained) >= self._policy.confirmation_cluster

    def _scored(self, progress: _Progress, match: ClusterMatch) -> Scored:
        template = self._snapshot.gallery.vector_of(match.identity_id, match.probe)
        controls = [progress.confirmation[number].control_face for number in match.members]
        return match.scored(self._snapshot, mean_score(controls, template))

    def _closest_in_screening(self, progress: _Progress) -> ClusterMatch | None:
        found = self._search(progress.screening, self._policy.screening_cluster, SCREENING)
        return found.matches[0] if found.matches else None


def _shifted(match: ClusterMatch, first: int) -> ClusterMatch:
    return replace(match, members=tuple(first + member for member in match.members))
