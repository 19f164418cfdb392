"""Thresholds for a stated error rate from impostor scores.

face_index.gallery.tail models the impostor tail. A search is a false positive if any of N templates
scores above its threshold, so FPIR = 1 - (1 - FMR)^N (ISO/IEC 19795-1). Some people look like more
people than others do ("wolves and lambs", Doddington et al. 1998): a template's own share of the
tail raises or lowers its threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from face_index.errors import CalibrationImpossible
from face_index.gallery.impostors import ImpostorScores, Pair, row_products
from face_index.gallery.likelihood_ratio import (
    LikelihoodRatio,
    fit_likelihood_ratio,
)
from face_index.gallery.spread import Spread
from face_index.gallery.tail import Tail, fit_tail, resampled_tails

Floats = npt.NDArray[np.floating]
# Without a calibration no error rate can be stated, and verdicts are at most `possible`. On LFW one
# photo of a person reaches 0.28 with one of another person once in 1,000 comparisons with ArcFace
# (Deb et al., AdvFaces 2019), 0.32 with a small pack (benchmarks/RESULTS.md), and there 0.46 once
# in 100,000. Means of several photos, which are compared here, need 0.47 there for FPIR 0.1 % in a
# gallery of 1,000.
UNCALIBRATED_THRESHOLD = 0.55
# A rate of 3 / n is the 95 % upper bound where n comparisons show no error ("rule of three",
# Hanley & Lippman-Hand 1983; ISO/IEC 19795-1, Annex B). A threshold for less is a guess.
_RULE_OF_THREE = 3
# Scans do not count scores over the lower threshold, of FPIR 2 %, so 0.1 % is a factor of 20 away.
# From scores under 0.45 it was a factor of 800, and 0.26 % were measured (benchmarks/RESULTS.md).
_FARTHEST = 30
_LEAST_OF_A_GROUP = 100
REPLICATES = 40


class Basis(StrEnum):
    """The population that a calibration's impostors are from."""

    LABELLED = "labelled photos"
    GALLERY = "registered people"
    DRAWN = "adults whom a base model invents"
    SCANS = "scanned files that show nobody"


class Shortfall(StrEnum):
    """Why a calibration sets no threshold at which somebody is called a match."""

    NO_CALIBRATION = "no-calibration"
    GALLERY_ONLY = "gallery-only"
    TOO_FEW_COMPARISONS = "too-few-comparisons"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The distribution of one face pack's scores.

    Attributes:
        pack_sha256: The networks it was measured with.
        source: What was compared, in words.
        subjects: How many persons were compared.
        comparisons: How many impostor comparisons were made.
        tail: Of the impostor scores.
        replicates: Tails fitted to resampled persons; their spread is the uncertainty of the fit.
        runner_up_margin: Cosine by which the best identity must lead the next. 95 % of repeated
            genuine scores of one person differ by less. None without genuine scores.
        likelihood_ratio: None without genuine scores.
        spread: How single images of a person scatter; None where single images were not compared.
        basis: The population that the impostors are from.
        groups: Tails of comparisons within groups of persons, by the group's name. A threshold
            holds in each of them.
        marks: How many pairs and photos somebody marked by hand, by mark
            (face_index.accuracy.marks).
        marks_sha256: Of the file of marks; "" without one.
        seen_rate: The FMR at the highest score that was counted, if higher ones were left out.
    """

    pack_sha256: str
    source: str
    subjects: int
    comparisons: int
    tail: Tail
    replicates: tuple[Tail, ...] = ()
    runner_up_margin: float | None = None
    likelihood_ratio: LikelihoodRatio | None = None
    spread: Spread | None = None
    basis: Basis = Basis.LABELLED
    groups: dict[str, Tail] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    marks_sha256: str = ""
    seen_rate: float = 0.0

    def shortfall(self, gallery_size: int, fpir: float) -> Shortfall | None:
        """Return why no match may rest on the threshold for that rate; None if it may."""
        if self.basis == Basis.GALLERY:
            return Shortfall.GALLERY_ONLY
        needed = false_match_rate_for(gallery_size, fpir)
        if needed < self._least_rate():
            return Shortfall.TOO_FEW_COMPARISONS
        return None

    def largest_gallery(self, fpir: float) -> int:
        """Return the size of the largest gallery for which the comparisons bear that rate.

        0 if there is none.
        """
        if self.basis == Basis.GALLERY:
            return 0
        least = self._least_rate()
        return int(np.log1p(-fpir) / np.log1p(-least)) if least < 1 else 0

    def _least_rate(self) -> float:
        """Return the lowest FMR for which a threshold is more than a guess."""
        return max(_RULE_OF_THREE / self.comparisons, self.seen_rate / _FARTHEST)

    def threshold_interval(self, gallery_size: int, fpir: float) -> tuple[float, float]:
        """Return the 95 % interval of a threshold due to the choice of the calibration set."""
        rate = false_match_rate_for(gallery_size, fpir)
        found = [tail.cosine_at(rate) for tail in self.replicates] or [self.tail.cosine_at(rate)]
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)

    def threshold(self, gallery_size: int, fpir: float, crowding: float = 1.0) -> float:
        """Return the cosine at which FPIR over a gallery of that size is at most `fpir`.

        That holds for everybody together and within each known group.
        """
        rate = false_match_rate_for(gallery_size, fpir)
        return max(tail.cosine_at(rate, crowding) for tail in (self.tail, *self.groups.values()))

    def worst_group(self, gallery_size: int, fpir: float) -> str:
        """Return the group whose threshold is the highest; "" if that of everybody is."""
        rate = false_match_rate_for(gallery_size, fpir)
        by_name = {"": self.tail, **self.groups}
        return max(by_name, key=lambda name: by_name[name].cosine_at(rate))

    def fpir(self, cosine: float, gallery_size: int) -> float:
        """Return FPIR over a gallery of that size with one threshold for all."""
        return _fpir(self.tail, cosine, gallery_size)

    def fpir_interval(self, cosine: float, gallery_size: int) -> tuple[float, float]:
        """Return the 95 % interval of that FPIR due to the choice of the calibration set."""
        rates = [_fpir(tail, cosine, gallery_size) for tail in self.replicates] or [
            self.fpir(cosine, gallery_size)
        ]
        low, high = np.quantile(rates, [0.025, 0.975])
        return float(low), float(high)


def false_match_rate_for(gallery_size: int, fpir: float) -> float:
    """Return the FMR at which a search of that many templates has the FPIR `fpir`."""
    return float(-np.expm1(np.log1p(-fpir) / max(gallery_size, 1)))


def _fpir(tail: Tail, cosine: float, gallery_size: int) -> float:
    return float(-np.expm1(gallery_size * np.log1p(-min(tail.false_match_rate(cosine), 1 - 1e-12))))


def calibrate(
    templates: Floats,
    probes: Floats,
    pack_sha256: str,
    source: str,
    replicates: int = REPLICATES,
    seed: int = 0,
    left_out: Collection[Pair] = (),
    spread: Spread | None = None,
) -> Calibration:
    """Compute a calibration from one template and one probe of each of n persons.

    A probe and another person's template make an impostor comparison, a probe and the person's own
    template a genuine one. The tail is also fitted to resampled persons, because comparisons that
    share a person are dependent.

    Args:
        templates, probes: float32 [n, d], unit rows; row i of both is person i.
        left_out: Pairs of persons who are not compared, such as siblings; the smaller number first.
        spread: How single images of a person scatter.

    Raises:
        CalibrationImpossible: There are too few persons.
    """
    count = len(templates)
    if count < 35:
        raise CalibrationImpossible(
            f"{count} persons with enough usable photos are too few; 35 are the least, "
            "1,000 are good"
        )
    scores = ImpostorScores(templates, probes, left_out)
    genuine = genuine_scores(templates, probes)
    rng = np.random.default_rng(seed)
    tail = fit_tail(scores)
    return Calibration(
        pack_sha256=pack_sha256,
        source=source,
        subjects=count,
        comparisons=scores.count,
        tail=tail,
        replicates=resampled_tails(scores, tail, replicates, rng),
        runner_up_margin=float(np.quantile(np.abs(genuine - rng.permutation(genuine)), 0.95)),
        likelihood_ratio=fit_likelihood_ratio(scores, tail, rng),
        spread=spread,
    )


def calibrate_impostors(
    probes: Floats, others: Floats, pack_sha256: str, basis: Basis, source: str
) -> Calibration:
    """Compute a calibration from impostors alone: thresholds, but no likelihood ratios.

    A threshold holds for the probes among each other and with the others added, whichever is
    higher: adults whom a base model invents are less like registered people than like each other.

    Args:
        probes: float32 [m, d], one unit vector of each person; compared with each other.
        others: float32 [n, d], unit vectors of registered people, with whom the probes are
            compared too.

    Raises:
        CalibrationImpossible: There are fewer than 35 persons with a probe.
    """
    count = len(probes)
    if count < 35:
        raise CalibrationImpossible(
            f"{count} persons are too few; 35 are the least, 1,000 are good"
        )
    scores = ImpostorScores(probes, probes)
    rng = np.random.default_rng(0)
    tail = fit_tail(scores)
    groups = {}
    if len(others):
        together = ImpostorScores(np.concatenate([probes, others]), probes)
        groups = {str(Basis.GALLERY): fit_tail(together)}
    return Calibration(
        pack_sha256=pack_sha256,
        source=source,
        subjects=count,
        # Both directions between two probes give one score.
        comparisons=count * (count - 1) // 2 + count * len(others),
        tail=tail,
        replicates=resampled_tails(scores, tail, REPLICATES, rng),
        basis=basis,
        groups=groups,
    )


def tails_of_groups(
    templates: Floats, probes: Floats, groups: Sequence[str], left_out: Collection[Pair] = ()
) -> dict[str, Tail]:
    """Fit the tail of the comparisons within each group that has at least 100 persons.

    People of one group look more alike than people of all groups do, and error rates differ between
    groups (NISTIR 8280, 2019).

    Args:
        groups: Of the persons in the rows of `templates` and `probes`; "" without one.
    """
    scores, found = ImpostorScores(templates, probes, left_out), {}
    for name in sorted(set(groups) - {""}):
        rows = [number for number, group in enumerate(groups) if group == name]
        if len(rows) < _LEAST_OF_A_GROUP:
            continue
        found[name] = fit_tail(scores.of(np.array(rows)))
    return found


def genuine_scores(templates: Floats, probes: Floats) -> npt.NDArray[np.float64]:
    """Return the cosine of each person's probe with their own template, float64 [n]."""
    return row_products(templates, probes)


def crowding_of(
    blocks: Callable[[], Iterable[Floats]], tail_share: float = 1e-3
) -> npt.NDArray[np.float64]:
    """Return the crowding of each template: its own share of the impostor tail over the mean share.

    The share is a count of impostors above a common score. It is shrunk towards 1 by a gamma prior
    (empirical Bayes), whose width is the spread of the counts beyond chance, so that few
    comparisons change little.

    Args:
        blocks: yields float [k, m] for k of the n templates after the other, the same ones in each
            of three calls: scores against m templates of other people; nan for the template itself.
            So the memory does not hold n times m scores.

    Returns:
        float64 [n], mean about 1.
    """
    count = sum(int((~np.isnan(block)).sum()) for block in blocks())
    start = _upper_quantile(blocks(), count, tail_share)
    counts = np.concatenate([(block > start).sum(axis=1) for block in blocks()]).astype(np.float64)
    mean = max(counts.mean(), 1e-9)
    excess_variance = counts.var() - mean
    if excess_variance <= 0:
        return np.ones(len(counts))
    prior = mean**2 / excess_variance
    return np.asarray((counts + prior) / (mean + prior))


def _upper_quantile(blocks: Iterable[Floats], count: int, share: float) -> float:
    """Return the score that a share of `count` scores exceeds, as numpy.nanquantile does."""
    largest, needed = np.empty(0), math.ceil(share * count) + 2
    for block in blocks:
        largest = np.concatenate([largest, block[~np.isnan(block)]])
        if len(largest) > needed:
            largest = np.partition(largest, len(largest) - needed)[-needed:]
    position = (count - 1) * (1 - share) - (count - len(largest))
    return float(np.interp(position, np.arange(len(largest)), np.sort(largest)))
