"""The face pack's manifest: InsightFace's version 2, with tasks, preprocessing and hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from scanner.miniature.training.recogniser import EMBEDDING_DIMENSION


def write_manifest(folder: Path) -> None:
    """Write manifest.json beside detector.onnx and recogniser.onnx."""

    def sha256(name: str) -> str:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()

    manifest = {
        "manifest_version": 2,
        "model_id": "miniature",
        "display_name": "portrait-scanner miniature pack (drawn faces only)",
        # InsightFace reads licences that it signed itself; ours is stated in face_packs.toml.
        "license": "MODEL.LICENSE",
        "tasks": {
            "detection": {
                "file": "detector.onnx",
                "sha256": sha256("detector.onnx"),
                "preprocessing": {"mean": 127.5, "std": 128.0},
            },
            "recognition": {
                "file": "recogniser.onnx",
                "sha256": sha256("recogniser.onnx"),
                "preprocessing": {"mean": 127.5, "std": 127.5},
                "input_size": [112, 112],
                "embedding_dimension": EMBEDDING_DIMENSION,
            },
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
