"""Whom a scan looks for: the gallery as it is now, with each template's own thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from face_index.faces.face import PackVersion, Prototypes, Vector
from face_index.gallery.calibration import UNCALIBRATED_THRESHOLD, Calibration, crowding_of
from face_index.gallery.exact_gallery import Candidate, Gallery
from face_index.gallery.faiss_gallery import ApproximateGallery, FaissGallery, IndexKind
from scanner.identification.verdict import Thresholds

# A template's own share of the impostor tail is worth measuring against at least this many others;
# more than the second number say no more about it, and more scores than the third do not fit in memory.
LEAST_FOR_CROWDING, MOST_FOR_CROWDING, MOST_CROSS_SCORES = 200, 4000, 100_000_000
_POSSIBLE_BELOW_UNCALIBRATED = 0.1


@dataclass(frozen=True, slots=True)
class Watch:
    """A gallery and what its scores mean.

    Attributes:
        gallery: of everyone who may be searched today.
        gallery_version: of the vault, recorded in every verdict.
        recall: 1 for an exact index, else as measured when it was built.
        calibration: None if the pack has none; then nothing is a match.
        thresholds: of a template with an average neighbourhood.
        crowding: by identity, how many more impostors than average come close; empty in small galleries.
        templates: identity id and prototypes of everyone in the gallery, for workers on other machines.
        snapshot: names exactly who was searched: the gallery's version and a SHA-256 over its templates.
    """

    gallery: Gallery
    gallery_version: int
    recall: float
    calibration: Calibration | None
    thresholds: Thresholds
    crowding: dict[str, float]
    templates: Sequence[tuple[str, Prototypes]] = field(repr=False)
    snapshot: str

    def thresholds_of(self, identity_id: str) -> Thresholds:
        """The cosines at which this template holds the stated rates."""
        crowding = self.crowding.get(identity_id)
        if crowding is None or self.calibration is None:
            return self.thresholds
        return _calibrated(self.calibration, len(self.gallery), self.thresholds, crowding)

    def closest(self, probe: Vector) -> list[Candidate]:
        """Identities close to a probe, the one furthest above its own threshold first."""
        found = self.gallery.search(probe[None])[0]
        return sorted(
            found,
            key=lambda candidate: self.thresholds_of(candidate.identity_id).match - candidate.score,
        )

    def log10_lr(self, score: float) -> float | None:
        """log10 of the likelihood ratio of a score, None where genuine scores were never seen."""
        if self.calibration is None or self.calibration.likelihood_ratio is None:
            return None
        return self.calibration.likelihood_ratio.log10(score)


def watch_over(
    version: PackVersion,
    templates: Sequence[tuple[str, Prototypes]],
    gallery_version: int,
    kind: IndexKind,
    calibration: Calibration | None,
    rates: tuple[float, float],
) -> Watch:
    """Build the gallery and its thresholds.

    Args:
        rates: FPIR of `match` and of `possible`.
    """
    gallery = (
        ApproximateGallery(version, templates)
        if kind == IndexKind.APPROXIMATE
        else FaissGallery(version, templates, kind)
    )
    recall = gallery.recall if isinstance(gallery, ApproximateGallery) else 1.0
    snapshot = f"{gallery_version}:{_digest(templates)}"
    if calibration is None:
        low = UNCALIBRATED_THRESHOLD - _POSSIBLE_BELOW_UNCALIBRATED
        thresholds = Thresholds(UNCALIBRATED_THRESHOLD, low, *rates, calibrated=False)
        return Watch(gallery, gallery_version, recall, None, thresholds, {}, templates, snapshot)
    blank = Thresholds(0, 0, *rates, calibrated=True)
    if calibration.runner_up_margin is not None:
        blank = replace(blank, min_margin=calibration.runner_up_margin)
    thresholds = _calibrated(calibration, len(gallery), blank, 1.0)
    crowding = _crowding(templates)
    return Watch(
        gallery, gallery_version, recall, calibration, thresholds, crowding, templates, snapshot
    )


def _digest(templates: Iterable[tuple[str, Prototypes]]) -> str:
    digest = hashlib.sha256()
    for identity_id, prototypes in templates:
        digest.update(identity_id.encode() + prototypes.tobytes())
    return digest.hexdigest()


def _calibrated(
    calibration: Calibration, size: int, like: Thresholds, crowding: float
) -> Thresholds:
    match, possible = (
        calibration.threshold(size, rate, crowding) for rate in (like.fpir, like.possible_fpir)
    )
    return replace(like, match=match, possible=min(match, possible))


def _crowding(templates: Iterable[tuple[str, Prototypes]]) -> dict[str, float]:
    """Of every template, from the gallery's own cross-scores against a sample of it."""
    known = list(templates)
    if len(known) < LEAST_FOR_CROWDING:
        return {}
    rows = np.concatenate([prototypes for _, prototypes in known])
    starts = np.cumsum([0, *(len(prototypes) for _, prototypes in known[:-1])])
    size = min(MOST_FOR_CROWDING, MOST_CROSS_SCORES // len(rows))
    sample = np.random.default_rng(0).permutation(len(known))[:size]
    # Others come as probes by their first prototype, which stands for all their photos.
    scores = np.maximum.reduceat(rows @ rows[starts[sample]].T, starts, axis=0)
    scores[sample, np.arange(len(sample))] = np.nan
    return dict(
        zip((identity_id for identity_id, _ in known), crowding_of(scores).tolist(), strict=True)
    )
