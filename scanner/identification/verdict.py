"""The decision: pure functions of scores, thresholds and controls. No model is involved.

The unit of evidence is the checkpoint: samples of one adapter are dependent, so their scores are
never multiplied. The probe is the mean face; its uncertainty is a jackknife over samples
(scanner.identification.intervals).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from face_index.gallery.calibration import Shortfall
from reports.reasons.reason import Reason
from scanner.identification.outcome import Outcome
from scanner.identification.policy import Thresholds


@dataclass(frozen=True, slots=True)
class Scored:
    """One cluster's probe against one identity.

    Attributes:
        score: cosine of probe and template.
        interval: repeated 95 % confidence interval of the score of infinitely many samples.
        control_score: score of the controls' mean face, None if too few controls show a face.
        runner_up: score of the next closest identity, None if there is none.
        log10_lr: log-likelihood ratio of the score, None without a calibration from genuine scores.
        concentration: length of the faces' mean vector, 0 to 1; 1 if all vectors are equal.
        share: share of the usable faces that are in the cluster, 0 to 1.
    """

    score: float
    interval: tuple[float, float]
    control_score: float | None
    runner_up: float | None = None
    log10_lr: float | None = None
    concentration: float = 1.0
    share: float = 1.0

    @property
    def lift(self) -> float | None:
        """Difference between the score and the control's score; None without a control."""
        return None if self.control_score is None else self.score - self.control_score


def settled(scored: Scored, thresholds: Thresholds) -> bool:
    """Whether the interval contains neither threshold, so that more samples are not needed."""
    low, high = scored.interval
    between = thresholds.possible <= low and high < thresholds.match
    return (
        (low >= thresholds.match and scored.score >= thresholds.match)
        or high < thresholds.possible
        or between
    )


def decide(scored: Scored, thresholds: Thresholds) -> tuple[Outcome, Reason]:
    """Return the outcome for one cluster and one identity, and the reason for it."""
    if scored.score < thresholds.possible:
        values = {"score": scored.score, "possible": thresholds.possible}
        return Outcome.CLEAR, Reason("under-possible", values)
    if (doubt := _doubt(scored, thresholds)) is not None:
        return Outcome.POSSIBLE, doubt
    over = {"score": scored.score, "threshold": thresholds.match}
    if scored.lift is None:
        return Outcome.MATCH, Reason("over-threshold-only", over)
    return Outcome.MATCH, Reason("over-threshold", {**over, "lift": scored.lift})


def _doubt(scored: Scored, thresholds: Thresholds) -> Reason | None:
    """Return why a score over `possible` is not a match; None if it is one."""
    score = {"score": scored.score}
    control, lift, runner_up = scored.control_score, scored.lift, scored.runner_up
    if scored.score < thresholds.match:
        band = {"possible": thresholds.possible, "threshold": thresholds.match}
        return Reason("between-thresholds", {**score, **band})
    if thresholds.shortfall is not None:
        return _shortfall_reason(thresholds.shortfall, score)
    if control is not None and control >= thresholds.possible:
        return Reason("base-model-scores", {**score, "control": control})
    if lift is not None and lift < thresholds.min_lift:
        return Reason("little-lift", {**score, "lift": lift})
    if scored.share < thresholds.min_share:
        return Reason("small-share", {**score, "share": scored.share})
    if scored.interval[0] < thresholds.possible:
        return Reason("samples-disagree", {**score, "low": scored.interval[0]})
    if runner_up is not None and _too_alike(scored.score, runner_up, thresholds):
        return Reason("runner-up-close", {**score, "runner_up": runner_up})
    return None


def _shortfall_reason(shortfall: Shortfall, score: Mapping[str, float]) -> Reason:
    match shortfall:
        case Shortfall.NO_CALIBRATION:
            return Reason("not-calibrated", score)
        case Shortfall.GALLERY_ONLY:
            return Reason("calibrated-on-gallery", score)
        case Shortfall.TOO_FEW_COMPARISONS:
            return Reason("too-few-comparisons", score)


def _too_alike(score: float, runner_up: float, thresholds: Thresholds) -> bool:
    """Whether the next identity is over `possible` too, and closer than the margin."""
    return runner_up >= thresholds.possible and score - runner_up < thresholds.min_margin
