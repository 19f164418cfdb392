"""The conclusion of one examination: outcome, findings, and every sample with its scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from face_index.faces.face import Face
from reports.reasons.reason import Reason, join_reasons
from scanner.identification.policy import Policy, Thresholds
from scanner.identification.search import ClusterMatch
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Outcome, Scored, decide
from scanner.scanning.observations import ObservedSample, usable


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample and its scores against one identity; None without a face or an identity.

    Attributes:
        in_mean: whether its face is one of those whose mean was searched.
    """

    observed: ObservedSample = field(repr=False)
    score: float | None
    control_score: float | None
    in_mean: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One identity that matched or possibly matched, with every sample scored against it.

    Attributes:
        reason: why, as an English sentence.
    """

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    samples: tuple[SampleScore, ...]


@dataclass(frozen=True, slots=True)
class CheckpointSamples:
    """The samples of one checkpoint.

    Attributes:
        denoiser_calls: forward passes of the denoiser for all images, controls included.
        found_trigger: a word that the trigger search found, None if it found none or did not run.
        route: how the file was loaded.
    """

    screening: Sequence[ObservedSample]
    confirmation: Sequence[ObservedSample]
    denoiser_calls: int
    found_trigger: str | None
    route: str

    @property
    def samples(self) -> tuple[ObservedSample, ...]:
        """All samples, those of screening first."""
        return (*self.screening, *self.confirmation)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict on one checkpoint.

    Attributes:
        outcome: outcome of the strongest finding, or the outcome without one.
        reason: why, as an English sentence.
        best_score: score of the closest identity, None if nobody could be compared.
        best_threshold: threshold of that identity's template.
        lift: difference of that score and the control's, None if no control was needed.
        findings: at most one per identity.
        samples: every image drawn with the checkpoint, scored against the closest identity.
    """

    outcome: Outcome
    reason: str
    best_score: float | None
    best_threshold: float | None
    lift: float | None
    findings: tuple[Finding, ...]
    samples: tuple[SampleScore, ...]
    seen: CheckpointSamples = field(repr=False)


def conclude(
    seen: CheckpointSamples,
    ranked: Sequence[tuple[ClusterMatch, Scored]],
    closest: ClusterMatch | None,
    snapshot: GallerySnapshot,
    policy: Policy,
) -> Conclusion:
    """Decide from all samples.

    Args:
        ranked: confirmed candidates, the highest score first; members are positions in
            `seen.confirmation`.
        closest: the closest identity, which need not be a confirmed candidate.
    """
    decided = [
        (match, scored, *decide(scored, snapshot.thresholds_of(match.identity_id)))
        for match, scored in ranked
    ]
    findings = tuple(
        Finding(
            match.identity_id,
            outcome,
            join_reasons([reason, *_scale_reasons(seen.confirmation, match)], str),
            scored,
            snapshot.thresholds_of(match.identity_id),
            _scored_samples(seen, match, snapshot),
        )
        for match, scored, outcome, reason in decided
        if outcome in (Outcome.MATCH, Outcome.POSSIBLE)
    )
    if findings:
        strongest = min(findings, key=_strongest_first)
        outcome, sentence = strongest.outcome, strongest.reason
    else:
        clear_reason = decided[0][3] if decided else None
        outcome, reason = _without_finding(seen, closest, clear_reason, snapshot, policy)
        sentence = reason.in_english()
    return Conclusion(
        outcome,
        sentence,
        closest.estimate.score if closest else None,
        snapshot.thresholds_of(closest.identity_id).match if closest else None,
        ranked[0][1].lift if ranked else None,
        findings,
        tuple(_sample_score(sample, closest, snapshot) for sample in seen.samples),
        seen,
    )


def _strongest_first(finding: Finding) -> tuple[bool, float]:
    return finding.outcome != Outcome.MATCH, -finding.scored.score


def _without_finding(
    seen: CheckpointSamples,
    closest: ClusterMatch | None,
    clear_reason: Reason | None,
    snapshot: GallerySnapshot,
    policy: Policy,
) -> tuple[Outcome, Reason]:
    """Return outcome and reason if nobody matched.

    Args:
        clear_reason: reason of the closest confirmed candidate, which is `clear`; None without one.
    """
    faces = len(usable(seen.samples))
    if len(snapshot.gallery) == 0:
        return Outcome.CLEAR, Reason("nobody-registered")
    if faces < policy.min_faces:
        values = {"faces": faces, "samples": len(seen.samples), "needed": policy.min_faces}
        return Outcome.INCONCLUSIVE, Reason("few-faces", values)
    if clear_reason is not None:
        return Outcome.CLEAR, clear_reason
    if seen.confirmation:
        return Outcome.CLEAR, Reason("not-again", {"samples": len(seen.confirmation)})
    if closest is None:
        return Outcome.CLEAR, Reason("different-faces", {"faces": faces})
    scores = {
        "score": closest.estimate.score,
        "high": closest.estimate.interval[1],
        "possible": snapshot.thresholds_of(closest.identity_id).possible,
    }
    return Outcome.CLEAR, Reason("under-possible-with-more", scores)


def _scored_samples(
    seen: CheckpointSamples, match: ClusterMatch, snapshot: GallerySnapshot
) -> tuple[SampleScore, ...]:
    """Score every image against one identity; a case shows all images drawn with the checkpoint."""
    members = {id(seen.confirmation[number]) for number in match.members}
    return tuple(
        replace(_sample_score(sample, match, snapshot), in_mean=id(sample) in members)
        for sample in seen.samples
    )


def _sample_score(
    observed: ObservedSample, match: ClusterMatch | None, snapshot: GallerySnapshot
) -> SampleScore:
    def score(face: Face | None) -> float | None:
        if face is None or match is None:
            return None
        template = snapshot.gallery.vector_of(match.identity_id, match.probe)
        return float(face.embedding @ template)

    return SampleScore(observed, score(observed.face), score(observed.control_face))


def _scale_reasons(observed: Sequence[ObservedSample], match: ClusterMatch) -> list[Reason]:
    _, scale = trigger_and_scale_of(observed, match)
    return [] if scale == 1.0 else [Reason("at-scale", {"scale": scale})]


def trigger_and_scale_of(
    observed: Sequence[ObservedSample], match: ClusterMatch
) -> tuple[str | None, float]:
    """Return the trigger and scale of most of a cluster's samples."""
    counted = Counter(
        (observed[number].plan.trigger, observed[number].plan.scale) for number in match.members
    )
    return counted.most_common(1)[0][0]
