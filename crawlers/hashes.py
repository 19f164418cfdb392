"""The hashes by which hubs and the scanner name a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1024 * 1024


def sha256_of(path: Path) -> str:
    """SHA-256 of the whole file, lower-case hex."""
    return _sha256_from(path, 0)


def weights_hash_of(path: Path, header_bytes: int) -> str:
    """SHA-256 of the tensor bytes behind a safetensors header, lower-case hex.

    Civitai's AutoV3 and kohya's sshs_model_hash; it survives a rewritten header.
    """
    return _sha256_from(path, 8 + header_bytes)


def _sha256_from(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
