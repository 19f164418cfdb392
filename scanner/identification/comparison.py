"""The record of how faces were compared, which scans.db and cases keep."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np

from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
from face_index.gallery.calibration import Calibration
from reports.reasons.reason import Reason
from scanner.identification.snapshot import GallerySnapshot, planned_size
from scanner.records import CalibrationRates, Comparison
from scanner.versions import library_versions

_UNCALIBRATED = Reason("no-calibration")


def comparison_of(
    pack: FacePack, version: PackVersion, snapshot: GallerySnapshot, threshold: float
) -> Comparison:
    """Describe how faces are compared with a gallery.

    Args:
        threshold: cosine at which the error rates are stated.
    """
    calibration, size = snapshot.calibration, len(snapshot.gallery)
    return Comparison(
        face_pack=pack.name,
        face_pack_sha256=version.sha256,
        face_pack_licence=pack.licence,
        gallery_size=size,
        gallery_version=snapshot.gallery_version,
        gallery_recall=snapshot.recall,
        fpir=snapshot.thresholds.fpir,
        calibration=calibration.source if calibration else _UNCALIBRATED.in_english(),
        versions=library_versions(),
        rates=_rates(calibration, threshold, planned_size(size)) if calibration else None,
    )


def _rates(calibration: Calibration, threshold: float, gallery_size: int) -> CalibrationRates:
    """Return the figures of a calibration, with its false match rates as a curve.

    Args:
        gallery_size: of the gallery for which the threshold holds the stated rate.
    """
    ratio = calibration.likelihood_ratio
    canonical = json.dumps(asdict(calibration), sort_keys=True).encode()
    return CalibrationRates(
        calibration_sha256=hashlib.sha256(canonical).hexdigest(),
        calibration_subjects=calibration.subjects,
        calibration_comparisons=calibration.comparisons,
        cllr=ratio.cllr if ratio else None,
        cllr_min=ratio.cllr_min if ratio else None,
        fpir_interval=list(calibration.fpir_interval(threshold, gallery_size)),
        impostor_rates=[
            [round(x, 2), calibration.tail.false_match_rate(x)] for x in np.arange(0.0, 1.0, 0.05)
        ],
        reliability=[
            [round(number, 3) for number in (one.stated, one.observed, one.low, one.high)]
            for one in (ratio.reliability if ratio else ())
        ],
    )
