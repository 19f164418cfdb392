"""The verdict: pure decisions from scores, thresholds and controls. Nothing here touches a model.

The unit of evidence is the checkpoint: samples of one adapter are dependent, so their scores are
never multiplied. The probe is the mean face; its uncertainty is a jackknife over samples (scanner.identification.intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scanner.identification.policy import Thresholds


class Outcome(StrEnum):
    MATCH = "match"  # above threshold, above the control
    POSSIBLE = "possible"  # a person must look
    CLEAR = "clear"  # enough usable faces, none of them close to anyone registered
    INCONCLUSIVE = "inconclusive"  # too few usable faces to say either
    FAILED = "failed"  # unreadable, unsupported, not faithfully loaded or refused: see reason


# No face was searched for: `clear` then says nothing about whose face it is, and nobody may take it for leave to publish.
NOBODY_REGISTERED = "nobody is registered, so nobody can be matched"

# Of whatever cannot be told by sampling: the same words whether too few faces came out, or a rule forbids to sample it.
NEEDS_A_LOOK = "nothing can be said of whom it shows from samples: a person must look at it"


@dataclass(frozen=True, slots=True)
class Scored:
    """One cluster's probe against one identity.

    Attributes:
        score: cosine of probe and template.
        interval: repeated 95 % confidence interval of the score that endless samples would give.
        control_score: the same for the controls' mean face, None if too few controls show one.
        runner_up: score of the next closest identity, None if there is none.
        log10_lr: log-likelihood ratio of the score, None without a calibration from genuine scores.
        concentration: how much the faces are one face, 0 to 1: the length of their mean vector.
        share: of the usable faces that show it, 0 to 1.
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
        return None if self.control_score is None else self.score - self.control_score


def settled(scored: Scored, thresholds: Thresholds) -> bool:
    """Whether more samples could hardly change the outcome: the interval holds neither threshold."""
    low, high = scored.interval
    between = thresholds.possible <= low and high < thresholds.match
    return (
        (low >= thresholds.match and scored.score >= thresholds.match)
        or high < thresholds.possible
        or between
    )


def decide(scored: Scored, thresholds: Thresholds) -> tuple[Outcome, str]:
    """The outcome for one cluster and one identity, with the reason in a sentence."""
    score, control = scored.score, scored.control_score
    if score < thresholds.possible:
        return (
            Outcome.CLEAR,
            f"the closest registered person scores {score:.2f}, under {thresholds.possible:.2f}",
        )
    if score < thresholds.match:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f} lies between {thresholds.possible:.2f} and the threshold {thresholds.match:.2f}",
        )
    if not thresholds.calibrated:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but the face pack has no calibration, so no error rate can be promised",
        )
    if control is not None and control >= thresholds.possible:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but the base model alone already scores {control:.2f}",
        )
    if scored.lift is not None and scored.lift < thresholds.min_lift:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but only {scored.lift:.2f} above the base model alone",
        )
    if scored.share < thresholds.min_share:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but only {scored.share:.0%} of the faces show this person",
        )
    if scored.interval[0] < thresholds.possible:
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but samples disagree: the interval starts at {scored.interval[0]:.2f}",
        )
    if (
        scored.runner_up is not None
        and scored.runner_up >= thresholds.possible
        and score - scored.runner_up < thresholds.min_margin
    ):
        return (
            Outcome.POSSIBLE,
            f"score {score:.2f}, but another registered person scores {scored.runner_up:.2f}: too alike to tell apart",
        )
    lift = "" if scored.lift is None else f", {scored.lift:.2f} above the base model alone"
    return Outcome.MATCH, f"score {score:.2f} over the threshold {thresholds.match:.2f}{lift}"
