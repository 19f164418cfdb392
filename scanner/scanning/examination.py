"""The conclusion of one examination: outcome, findings and every sample with its scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from face_index.faces.face import Face
from scanner.identification.policy import Policy, Thresholds
from scanner.identification.search import ClusterMatch
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import NOBODY_REGISTERED, Outcome, Scored, decide
from scanner.scanning.observations import ObservedSample, usable


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One sample and its scores against one identity; None without a face or an identity.

    Attributes:
        in_mean: its face is one of those whose mean was searched.
    """

    observed: ObservedSample = field(repr=False)
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
class Seen:
    """What was drawn of one checkpoint.

    Attributes:
        denoiser_calls: forward passes of the denoiser for all images, controls included.
        found_trigger: a word that the trigger search found, None if none was searched or found.
        route: how the file was loaded.
    """

    screening: Sequence[ObservedSample]
    confirmation: Sequence[ObservedSample]
    denoiser_calls: int
    found_trigger: str | None
    route: str

    @property
    def samples(self) -> tuple[ObservedSample, ...]:
        return (*self.screening, *self.confirmation)


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdict on one checkpoint.

    Attributes:
        outcome: the strongest of all findings, or what holds without one.
        best_score: of the closest identity, None if nobody could be compared.
        best_threshold: of that identity's template.
        lift: of that score over the control's, None if no control was needed.
        findings: at most one per identity.
        samples: every image drawn with the checkpoint, scored against the closest identity of all.
    """

    outcome: Outcome
    reason: str
    best_score: float | None
    best_threshold: float | None
    lift: float | None
    findings: tuple[Finding, ...]
    samples: tuple[SampleScore, ...]
    seen: Seen = field(repr=False)


def conclude(
    seen: Seen,
    ranked: Sequence[tuple[ClusterMatch, Scored]],
    closest: ClusterMatch | None,
    snapshot: GallerySnapshot,
    policy: Policy,
) -> Examination:
    """Decide from everything that was drawn.

    Args:
        ranked: confirmed candidates, the highest score first; members are positions in `seen.confirmation`.
        closest: the closest identity of all, also where nobody was confirmed.
    """
    decided = [
        (match, scored, *decide(scored, snapshot.thresholds_of(match.identity_id)))
        for match, scored in ranked
    ]
    findings = tuple(
        Finding(
            match.identity_id,
            outcome,
            reason + _scale_words(seen.confirmation, match),
            scored,
            snapshot.thresholds_of(match.identity_id),
            _scored_samples(seen, match, snapshot),
        )
        for match, scored, outcome, reason in decided
        if outcome in (Outcome.MATCH, Outcome.POSSIBLE)
    )
    if findings:
        strongest = min(findings, key=lambda one: (one.outcome != Outcome.MATCH, -one.scored.score))
        outcome, reason = strongest.outcome, strongest.reason
    else:
        clear_reason = decided[0][3] if decided else None
        outcome, reason = _without_finding(seen, closest, clear_reason, snapshot, policy)
    return Examination(
        outcome,
        reason,
        closest.estimate.score if closest else None,
        snapshot.thresholds_of(closest.identity_id).match if closest else None,
        ranked[0][1].lift if ranked else None,
        findings,
        tuple(_sample_score(one, closest, snapshot) for one in seen.samples),
        seen,
    )


def _without_finding(
    seen: Seen,
    closest: ClusterMatch | None,
    clear_reason: str | None,
    snapshot: GallerySnapshot,
    policy: Policy,
) -> tuple[Outcome, str]:
    """Outcome and reason where nobody matched.

    Args:
        clear_reason: of the closest candidate that was confirmed and is not shown; None without one.
    """
    faces = len(usable(seen.samples))
    if len(snapshot.gallery) == 0:
        return Outcome.CLEAR, NOBODY_REGISTERED
    if faces < policy.min_faces:
        return (
            Outcome.INCONCLUSIVE,
            (
                f"only {faces} of {len(seen.samples)} samples show a usable face, "
                f"{policy.min_faces} are needed"
            ),
        )
    if clear_reason is not None:
        return Outcome.CLEAR, clear_reason
    if seen.confirmation:
        return (
            Outcome.CLEAR,
            (
                "a face that screening took for somebody registered did not come again in "
                f"{len(seen.confirmation)} full samples"
            ),
        )
    if closest is None:
        return (
            Outcome.CLEAR,
            (
                f"{faces} usable faces, a different one each time: "
                "the file does not reproduce one person"
            ),
        )
    possible = snapshot.thresholds_of(closest.identity_id).possible
    score, high = closest.estimate.score, closest.estimate.interval[1]
    return (
        Outcome.CLEAR,
        (
            f"the closest registered person scores {score:.2f}, "
            f"at most {high:.2f} with more samples, under {possible:.2f}"
        ),
    )


def _scored_samples(
    seen: Seen, match: ClusterMatch, snapshot: GallerySnapshot
) -> tuple[SampleScore, ...]:
    """Every image drawn with the checkpoint against one identity; a case leaves none out."""
    members = {id(seen.confirmation[number]) for number in match.members}
    return tuple(
        replace(_sample_score(one, match, snapshot), in_mean=id(one) in members)
        for one in seen.samples
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


def _scale_words(observed: Sequence[ObservedSample], match: ClusterMatch) -> str:
    _, scale = way_of(observed, match)
    return "" if scale == 1.0 else f"; the adapter at scale {scale:g}"


def way_of(observed: Sequence[ObservedSample], match: ClusterMatch) -> tuple[str | None, float]:
    """The trigger and scale of most of a cluster's samples."""
    counted = Counter(
        (observed[number].plan.trigger, observed[number].plan.scale) for number in match.members
    )
    return counted.most_common(1)[0][0]
