"""The hashes by which hubs and the scanner identify a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1024 * 1024
# SHA-256 and BLAKE3 of zero bytes. Hubs and generators write them for files that have no tensors,
# are too short or do not exist.
_OF_NOTHING = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
)


def sha256_of(path: Path) -> str:
    """SHA-256 of the whole file, lower-case hex."""
    return _sha256_from(path, 0)


def weights_hash_of(path: Path, header_bytes: int) -> str:
    """SHA-256 of the tensor bytes behind a safetensors header, lower-case hex.

    Civitai calls it AutoV3, kohya sshs_model_hash. It does not change with the header.
    """
    return _sha256_from(path, 8 + header_bytes)


def is_of_nothing(digits: str) -> bool:
    """Whether a hash, or the beginning of one, is that of zero bytes or all zeros."""
    return not digits.strip("0") or any(nothing.startswith(digits) for nothing in _OF_NOTHING)


def _sha256_from(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
