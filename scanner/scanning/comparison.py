"""How faces were compared, as the ledger and cases keep it: face pack, gallery, calibration, error rates, versions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
from face_index.gallery.calibration import Calibration
from scanner.identification.snapshot import Watch
from scanner.versions import library_versions


def comparison_record(
    pack: FacePack, version: PackVersion, watch: Watch, threshold: float
) -> dict[str, Any]:
    """The fields of a case's method that say how faces were compared; JSON values.

    Args:
        threshold: cosine at which the error rates are stated.
    """
    calibration = watch.calibration
    return {
        "face_pack": pack.name,
        "face_pack_sha256": version.sha256,
        "face_pack_licence": pack.licence,
        "gallery_size": len(watch.gallery),
        "gallery_version": watch.gallery_version,
        "gallery_recall": watch.recall,
        "fpir": watch.thresholds.fpir,
        "calibration": calibration.source
        if calibration
        else "none: this face pack was never calibrated, nothing is called a match",
        "versions": library_versions(),
        **(_error_rates(calibration, threshold, len(watch.gallery)) if calibration else {}),
    }


def _error_rates(calibration: Calibration, threshold: float, gallery_size: int) -> dict[str, Any]:
    """Which calibration, how large, how good, and its impostor scores as a curve."""
    ratio = calibration.likelihood_ratio
    return {
        "calibration_sha256": hashlib.sha256(
            json.dumps(asdict(calibration), sort_keys=True).encode()
        ).hexdigest(),
        "calibration_subjects": calibration.subjects,
        "calibration_comparisons": calibration.comparisons,
        "cllr": ratio.cllr if ratio else None,
        "cllr_min": ratio.cllr_min if ratio else None,
        "fpir_interval": list(calibration.fpir_interval(threshold, gallery_size)),
        "impostor_rates": [
            [round(x, 2), calibration.tail.false_match_rate(x)] for x in np.arange(0.0, 1.0, 0.05)
        ],
    }
