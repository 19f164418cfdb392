"""The conclusion about one checkpoint: outcome, findings, and every sample's scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from face_index.faces.face import Vector
from reports.cases.method_record import SecondOpinion
from reports.reasons.reason import Reason, join_reasons
from scanner.identification.outcome import FINDINGS, Outcome
from scanner.identification.policy import Policy, Thresholds
from scanner.identification.samples import CheckpointFaces, usable
from scanner.identification.search import ClusterMatch
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored, decide
from scanner.records import Question


@dataclass(frozen=True, slots=True)
class SampleScore:
    """The scores of one sample against one identity; None without a face or an identity.

    Attributes:
        in_mean: whether its face is one of those whose mean was searched.
    """

    score: float | None
    control_score: float | None
    in_mean: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One identity that matched or possibly matched.

    Attributes:
        reason: why, as an English sentence.
        scores: of all samples of the checkpoint, in the order of `CheckpointFaces.all`.
        second_opinion: of another face pack; None without one.
    """

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    scores: tuple[SampleScore, ...]
    second_opinion: SecondOpinion | None = None


@dataclass(frozen=True, slots=True)
class Identification:
    """Whom a checkpoint shows.

    Attributes:
        outcome: outcome of the strongest finding, or the outcome without one.
        reason: why, as an English sentence.
        best_score: score of the closest identity, None if nobody could be compared.
        best_threshold: threshold of that identity's template.
        lift: difference of that score and the control's, None if no control was needed.
        findings: at most one per identity.
        scores: of all samples against the closest identity, in the order of `CheckpointFaces.all`.
    """

    outcome: Outcome
    reason: str
    best_score: float | None
    best_threshold: float | None
    lift: float | None
    findings: tuple[Finding, ...]
    scores: tuple[SampleScore, ...]


def conclude(
    faces: CheckpointFaces,
    ranked: Sequence[tuple[ClusterMatch, Scored]],
    closest: ClusterMatch | None,
    snapshot: GallerySnapshot,
    policy: Policy,
    *,
    has_candidates: bool,
) -> Identification:
    """Decide from all samples.

    Args:
        ranked: confirmed candidates, the highest score first; members are positions in
            `faces.confirmation`.
        closest: the closest identity, which need not be a confirmed candidate.
        has_candidates: whether screening has a candidate. Without one, the samples of confirmation
            were drawn for somebody who is not registered any more.
    """
    decided = [
        (match, scored, *decide(scored, snapshot.thresholds_of(match.identity_id)))
        for match, scored in ranked
    ]
    findings = tuple(
        Finding(
            match.identity_id,
            _at_most(outcome, match.question(faces.confirmation)),
            join_reasons([reason, *_reasons_of_question(faces, match)], str),
            scored,
            snapshot.thresholds_of(match.identity_id),
            _scores(faces, match, snapshot, confirmed=True),
        )
        for match, scored, outcome, reason in decided
        if outcome in FINDINGS
    )
    if findings:
        strongest = min(findings, key=strongest_first)
        outcome, sentence = strongest.outcome, strongest.reason
    else:
        clear_reason = decided[0][3] if decided else None
        outcome, reason = _without_finding(
            faces, closest, clear_reason, snapshot, policy, has_candidates=has_candidates
        )
        sentence = "; ".join((*faces.doubts, reason.in_english()))
    return Identification(
        outcome,
        sentence,
        closest.estimate.score if closest else None,
        snapshot.thresholds_of(closest.identity_id).match if closest else None,
        # Controls of a candidate under the lower threshold were drawn for somebody else.
        ranked[0][1].lift if findings else None,
        findings,
        _scores(faces, closest, snapshot, confirmed=False),
    )


def strongest_first(finding: Finding) -> tuple[bool, float]:
    """Return the key by which matches come first, and the highest score first among them."""
    return finding.outcome != Outcome.MATCH, -finding.scored.score


def outcome_of_nobody(
    usable_faces: int, doubts: Sequence[str], snapshot: GallerySnapshot, policy: Policy
) -> Outcome:
    """Return the outcome for a checkpoint in which nobody is found.

    Args:
        usable_faces: number of samples with a usable face, those of confirmation included.
        doubts: of the drawing (`CheckpointFaces.doubts`).
    """
    if len(snapshot.gallery) > 0 and (usable_faces < policy.min_faces or doubts):
        return Outcome.INCONCLUSIVE
    return Outcome.CLEAR


def _without_finding(
    faces: CheckpointFaces,
    closest: ClusterMatch | None,
    clear_reason: Reason | None,
    snapshot: GallerySnapshot,
    policy: Policy,
    *,
    has_candidates: bool,
) -> tuple[Outcome, Reason]:
    """Return outcome and reason if nobody matched.

    Args:
        clear_reason: reason of the closest confirmed candidate, which is `clear`; None without one.
    """
    usable_faces = len(usable(faces.all))
    outcome = outcome_of_nobody(usable_faces, faces.doubts, snapshot, policy)
    if len(snapshot.gallery) == 0:
        return outcome, Reason("nobody-registered")
    if usable_faces < policy.min_faces:
        values = {"faces": usable_faces, "samples": len(faces.all), "needed": policy.min_faces}
        return outcome, Reason("few-faces", values)
    if clear_reason is not None:
        return outcome, clear_reason
    if has_candidates:
        return outcome, Reason("not-again", {"samples": len(faces.confirmation)})
    if closest is None:
        return outcome, Reason("different-faces", {"faces": usable_faces})
    scores = {
        "score": closest.estimate.score,
        "high": closest.estimate.interval[1],
        "possible": snapshot.thresholds_of(closest.identity_id).possible,
    }
    return outcome, Reason("under-possible-with-more", scores)


def _scores(
    faces: CheckpointFaces,
    match: ClusterMatch | None,
    snapshot: GallerySnapshot,
    *,
    confirmed: bool,
) -> tuple[SampleScore, ...]:
    """Score every sample against one identity.

    Args:
        confirmed: note which samples are members of the match, a confirmed candidate.
    """
    if match is None:
        return tuple(SampleScore(None, None) for _ in faces.all)
    template = snapshot.gallery.vector_of(match.identity_id, match.probe)
    first = len(faces.all) - len(faces.confirmation)
    members = {first + number for number in match.members} if confirmed else set()

    def score(vector: Vector | None) -> float | None:
        return None if vector is None else float(vector @ template)

    return tuple(
        SampleScore(score(face.vector), score(face.control), number in members)
        for number, face in enumerate(faces.all)
    )


def _at_most(outcome: Outcome, question: Question) -> Outcome:
    """Return the outcome, which is at most `possible` for a sum of files.

    Anybody can publish a file that turns another person's file into somebody's face.
    """
    return Outcome.POSSIBLE if question.companions else outcome


def _reasons_of_question(faces: CheckpointFaces, match: ClusterMatch) -> list[Reason]:
    """Return how the samples were drawn, if not as any user would."""
    question = match.question(faces.confirmation)
    reasons = []
    if question.scale != 1.0:
        reasons.append(Reason("at-scale", {"scale": question.scale}))
    if question.companions:
        reasons.append(Reason("with-companions", {"files": len(question.companions)}))
    return reasons
