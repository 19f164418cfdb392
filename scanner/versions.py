"""Library versions, as `doctor` shows them and every case records them."""

from __future__ import annotations

import platform

LIBRARIES = (
    "portrait-scanner",
    "torch",
    "diffusers",
    "peft",
    "transformers",
    "safetensors",
    "insightface",
    "onnxruntime",
    "faiss-cpu",
    "numpy",
    "sqlite-utils",
    "httpx",
)
MISSING = "missing"


def library_versions() -> dict[str, str]:
    """Version of every library by name, MISSING if it is not installed, and Python's own."""
    from importlib.metadata import PackageNotFoundError, version  # slow; `--help` needs neither

    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = MISSING
    return found
