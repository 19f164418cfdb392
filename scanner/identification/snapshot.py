"""The gallery at one version, immutable, with the thresholds of each template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from face_index.faces.face import FaceReader, PackVersion, Prototypes, Vector
from face_index.faces.packs import FacePack
from face_index.gallery.calibration import Calibration, crowding_of
from face_index.gallery.exact_gallery import Candidate, Gallery
from face_index.gallery.faiss_gallery import ApproximateGallery, FaissGallery, IndexKind
from scanner.identification.policy import (
    LEAST_FOR_CROWDING,
    LEAST_GALLERY,
    MOST_CROSS_SCORES,
    MOST_FOR_CROWDING,
    Thresholds,
    uncalibrated,
)

# Identities that are compared with the sample at a time.
_CROWDING_BLOCK = 100


@dataclass(frozen=True, slots=True)
class GallerySnapshot:
    """The gallery at one version and the meaning of its scores.

    Attributes:
        gallery: templates of everybody who may be searched on that day.
        gallery_version: version of the vault; recorded in every verdict.
        recall: 1 for an exact index, else the recall that was measured when the index was built.
        calibration: None if the pack has none; then nothing is a match.
        thresholds: thresholds of a template with an average number of close impostors.
        crowding: number of close impostors of each identity, as a multiple of the average; empty in
            small galleries.
        templates: identity id and prototypes of everybody in the gallery, for workers on other
            machines.
        snapshot_id: the gallery's version and a SHA-256 over its templates.
        second: another face pack that judges findings too; None without one.
    """

    gallery: Gallery
    gallery_version: int
    recall: float
    calibration: Calibration | None
    thresholds: Thresholds
    crowding: dict[str, float]
    templates: Sequence[tuple[str, Prototypes]] = field(repr=False)
    snapshot_id: str
    second: SecondPack | None = None

    def thresholds_of(self, identity_id: str) -> Thresholds:
        """Return the thresholds at which a template holds the stated rates."""
        crowding = self.crowding.get(identity_id)
        if crowding is None or self.calibration is None:
            return self.thresholds
        return _calibrated(self.calibration, len(self.gallery), self.thresholds, crowding)

    def lowest_possible(self) -> float:
        """Return the lowest of the thresholds `possible` of all templates."""
        if self.calibration is None or not self.crowding:
            return self.thresholds.possible
        lowest = min(self.crowding.values())
        size = len(self.gallery)
        return _calibrated(self.calibration, size, self.thresholds, lowest).possible

    def closest(self, probe: Vector) -> list[Candidate]:
        """Return identities close to a probe, sorted by how far they exceed their own threshold."""
        found = self.gallery.search(probe[None])[0]
        return sorted(
            found,
            key=lambda candidate: self.thresholds_of(candidate.identity_id).match - candidate.score,
        )

    def log10_lr(self, score: float) -> float | None:
        """Return log10 of a score's likelihood ratio; None without genuine scores to calibrate."""
        if self.calibration is None or self.calibration.likelihood_ratio is None:
            return None
        return self.calibration.likelihood_ratio.log10(score)


@dataclass(frozen=True, slots=True)
class SecondPack:
    """Another face pack, which compares findings too (scanner.identification.second_opinion).

    Attributes:
        snapshot: templates of those whom this pack has embedded, with its thresholds.
    """

    pack: FacePack
    reader: FaceReader = field(repr=False)
    snapshot: GallerySnapshot


def take_snapshot(
    version: PackVersion,
    templates: Sequence[tuple[str, Prototypes]],
    gallery_version: int,
    kind: IndexKind,
    calibration: Calibration | None,
    rates: tuple[float, float],
) -> GallerySnapshot:
    """Build the gallery and its thresholds.

    Args:
        rates: FPIR of the thresholds `match` and `possible`.
    """
    gallery = (
        ApproximateGallery(version, templates)
        if kind == IndexKind.APPROXIMATE
        else FaissGallery(version, templates, kind)
    )
    recall = gallery.recall if isinstance(gallery, ApproximateGallery) else 1.0
    snapshot_id = f"{gallery_version}:{_digest(templates)}"
    if calibration is None:
        thresholds = uncalibrated(*rates)
        return GallerySnapshot(
            gallery, gallery_version, recall, None, thresholds, {}, templates, snapshot_id
        )
    size = planned_size(len(gallery))
    blank = Thresholds(0, 0, *rates, calibration.shortfall(size, rates[0]))
    if calibration.runner_up_margin is not None:
        blank = replace(blank, min_margin=calibration.runner_up_margin)
    thresholds = _calibrated(calibration, len(gallery), blank, 1.0)
    crowding = _crowding(templates)
    return GallerySnapshot(
        gallery, gallery_version, recall, calibration, thresholds, crowding, templates, snapshot_id
    )


def _digest(templates: Iterable[tuple[str, Prototypes]]) -> str:
    digest = hashlib.sha256()
    for identity_id, prototypes in templates:
        digest.update(identity_id.encode() + prototypes.tobytes())
    return digest.hexdigest()


def planned_size(size: int) -> int:
    """Return the size of the gallery for which thresholds hold the stated rates."""
    return max(size, LEAST_GALLERY)


def _calibrated(
    calibration: Calibration, size: int, like: Thresholds, crowding: float
) -> Thresholds:
    planned = planned_size(size)
    match, possible = (
        calibration.threshold(planned, rate, crowding) for rate in (like.fpir, like.possible_fpir)
    )
    return replace(like, match=match, possible=min(match, possible))


def _crowding(templates: Iterable[tuple[str, Prototypes]]) -> dict[str, float]:
    """Return the crowding of each template, from its scores against a sample of the gallery."""
    known = list(templates)
    if len(known) < LEAST_FOR_CROWDING:
        return {}
    rows = np.concatenate([prototypes for _, prototypes in known])
    starts = np.cumsum([0, *(len(prototypes) for _, prototypes in known[:-1])])
    size = min(MOST_FOR_CROWDING, MOST_CROSS_SCORES // len(rows))
    sample = np.random.default_rng(0).permutation(len(known))[:size]
    # As a probe an identity is represented by its first prototype, the mean of all its photos.
    probes = rows[starts[sample]].T

    def blocks() -> Iterator[npt.NDArray[np.float32]]:
        for first in range(0, len(known), _CROWDING_BLOCK):
            own = starts[first : first + _CROWDING_BLOCK]
            last = starts[first + len(own)] if first + len(own) < len(starts) else len(rows)
            scores = np.maximum.reduceat(rows[own[0] : last] @ probes, own - own[0], axis=0)
            inside = (sample >= first) & (sample < first + len(own))
            scores[sample[inside] - first, np.flatnonzero(inside)] = np.nan
            yield scores

    crowding = crowding_of(blocks).tolist()
    return dict(zip((identity_id for identity_id, _ in known), crowding, strict=True))
