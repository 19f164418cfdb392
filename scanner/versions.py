"""Library versions, as `doctor` shows them and every case records them."""

from __future__ import annotations

import platform
from functools import cache

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
    return {"python": platform.python_version(), **{name: _version_of(name) for name in LIBRARIES}}


@cache
def _version_of(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow; `--help` needs neither

    try:
        return version(library)
    except PackageNotFoundError:
        return MISSING
