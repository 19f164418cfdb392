"""Sentences about the method: base models and why they were chosen, calibration, checks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "base-model": "{family}: {place} ({why:why})",
        "named-by-user": "named by the user",
        "default-shipped": "the family's default, shipped with the program",
        "default-none-declared": "the family's default; the file declares none",
        "default-declared-absent": (
            "the family's default; the declared base model {name} is not in the base-models folder"
        ),
        "declared-hash-in-folder": (
            "declared by its hash {sha256}, {file} of the base-models folder"
        ),
        "declared-hash": "declared by its hash {sha256}",
        "declared-name": "declared by its name {name}, in the base-models folder",
        "captured-images": "none: these images were captured",
        "no-calibration": "none: this face pack was never calibrated, nothing is called a match",
        "calibrated-on-drawn-persons": (
            "{subjects:d} drawn persons who trained nothing: means of {probe:d} redrawn photos "
            "against templates of {template:d} photos"
        ),
        "image-check-not-needed": (
            "none: this base model is synthetic and can only draw cartoon portraits"
        ),
        "processors": "{machine}, {processors:d} processors",
        "pack-of-drawings": (
            "Apache-2.0; trained on drawings by this project's own scripts, for the miniature "
            "world only"
        ),
        "pack-of-insightface": (
            "InsightFace model packs: non-commercial research only, unless a signed MODEL.LICENSE "
            "grants more"
        ),
        "pack-for-commercial-use": "Apache-2.0; made for commercial use",
    }
)
