"""Every number with which samples are judged, and the measurement or source that it came from.

How samples are drawn (scales, trigger words, the trigger search) is defined in scanner.sampling.

Three numbers are defined elsewhere because an operator or a face pack sets them: the false positive
identification rates (`Settings.fpir`, `Settings.possible_fpir`), the thresholds that a pack's
calibration derives from them, and the minimum quality of a face
(`face_index.faces.quality.QualityBar`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from face_index.gallery.calibration import UNCALIBRATED_THRESHOLD, Shortfall


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a growing set of samples is analysed (Jennison & Turnbull 1989; Pocock 1977).

    Attributes:
        per_look: samples that each analysis adds.
        looks: maximum number of analyses.
        level: two-sided level of each analysis, chosen so that all of them together err in 5 % of
            checkpoints. Computed by `python -m benchmarks.sequential levels`, checked by
            `python -m benchmarks.sequential`.
    """

    per_look: int
    looks: int
    level: float


SCREENING = Schedule(4, 2, 0.041)
CONFIRMATION = Schedule(6, 4, 0.0225)

# Number of different images that must show one face before an account can match a person. This is a
# rule and not a measurement: one picture says nothing about who runs an account, and a jackknife
# interval needs at least three.
LEAST_IMAGES = 3
# An account's images are analysed once, so an ordinary 95 % interval holds.
CAPTURES = Schedule(LEAST_IMAGES, 1, 0.05)
# Number of different photographs that must show a person before their name is disclosed. This is a
# rule and not a measurement: the user who submits a single picture selected it, and must not learn
# from it who is shown.
LEAST_PHOTOGRAPHS = 2

# Mean cosine between two groups of faces above which they are merged (average linkage). Chosen on
# LikenessBench's development split; benchmarks/RESULTS.md reports the held-out split with it.
MIN_COSINE_WITHIN = 0.45

# A pack without a calibration has no stated error rate. Its threshold is one that hardly any two
# people reach (face_index.gallery.calibration). What a reviewer sees begins this far below it, near
# the score that means of photos of different people reach once in 1,000 searches of 1,000 people.
UNCALIBRATED_POSSIBLE_BELOW = 0.1

# Thresholds are at least those of a gallery of this many people. With one person the threshold of a
# match would be a cosine of 0.44 and with twenty 0.61 (miniature pack), so that what the first
# people match would not match any more when others register. On LikenessBench 28 of 111 files came
# near the first person, and 54 near one of the first three; see benchmarks/RESULTS.md.
LEAST_GALLERY = 20

# A template's own share of the impostor tail is measured against at least LEAST_FOR_CROWDING other
# templates. More than MOST_FOR_CROWDING templates do not improve the estimate, and more than
# MOST_CROSS_SCORES scores do not fit in memory.
LEAST_FOR_CROWDING = 200
MOST_FOR_CROWDING = 4_000
MOST_CROSS_SCORES = 100_000_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosines that separate outcomes, and the other conditions of a match.

    Attributes:
        match: threshold at which `fpir` holds for this gallery size, at least LEAST_GALLERY.
        possible: threshold at which `possible_fpir` holds; between the two a reviewer decides.
        shortfall: why the rates are not measured well enough to call anybody a match; None if they
            are.
        min_lift: minimum difference between the score and the control's score, so that a face that
            the base model draws by itself is not a match. Chosen on LikenessBench's development
            split.
        min_margin: minimum difference to the score of the next identity if that one is over
            `possible` too; a calibration replaces it by the margin that it measured
            (`Calibration.runner_up_margin`).
        min_share: minimum share of the usable faces in the cluster; a merge of three people shows
            each of them in a third of the samples, and a quarter leaves room for samples without a
            usable face.
    """

    match: float
    possible: float
    fpir: float
    possible_fpir: float
    shortfall: Shortfall | None
    min_lift: float = 0.15
    min_margin: float = 0.05
    min_share: float = 0.25


def uncalibrated(fpir: float, possible_fpir: float) -> Thresholds:
    """Return the thresholds of a face pack without a calibration."""
    low = UNCALIBRATED_THRESHOLD - UNCALIBRATED_POSSIBLE_BELOW
    shortfall = Shortfall.NO_CALIBRATION
    return Thresholds(UNCALIBRATED_THRESHOLD, low, fpir, possible_fpir, shortfall)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many samples are drawn for a verdict and how many of them must agree.

    Attributes:
        screening: samples of each trigger in one round of screening.
        screening_cluster: minimum size of a cluster in screening for an identity to be a candidate;
            at least two.
        confirmation: samples of each trigger in one round of confirmation.
        confirmation_cluster: minimum size of a cluster in confirmation for an identity to be named;
            at least two.
        rounds: maximum number of confirmation rounds.
        strong_scale: how many times stronger the adapter is in the second confirmation, for
            candidates between the two thresholds. Chosen on LikenessBench's development split;
            adapters distort every image above it.
        min_faces: minimum number of usable faces; with fewer the outcome is `inconclusive`.
        most_candidates: maximum number of identities that are confirmed, the closest first.
    """

    screening: int = SCREENING.per_look
    screening_cluster: int = 3
    confirmation: int = CONFIRMATION.per_look
    confirmation_cluster: int = 4
    rounds: int = CONFIRMATION.looks
    strong_scale: float = 1.2
    min_faces: int = 5
    most_candidates: int = 3

    def key_parts(self) -> dict[str, Any]:
        """Return the policy's part of a verdict's key, under the field names of stored keys."""
        renamed = {
            "confirmation": "evidence",
            "confirmation_cluster": "evidence_cluster",
            "most_candidates": "most_depictions",
        }
        return {renamed.get(name, name): value for name, value in asdict(self).items()}

    def screening_parts(self) -> dict[str, int]:
        """Return the numbers on which it depends which samples of screening are drawn."""
        return {
            "per_trigger": self.screening,
            "cluster": self.screening_cluster,
            "min_faces": self.min_faces,
        }
