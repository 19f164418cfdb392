"""The files of a bundle: their names, and functions that read them within limits."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from reports.verify.checks import Unsound

TAG_MANIFESTS = ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt")
TAG_FILES = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt", "manifest-sha512.txt")
STATEMENT, SIGNATURE, KEY = "seal/statement.json", "seal/statement.sig", "seal/key.pub"
STAMPED = "seal/stamped.json"
TIMES, TIMES_SIGNATURE = "seal/timestamps.json", "seal/timestamps.sig"
SEAL_FILES = (STATEMENT, SIGNATURE, KEY, STAMPED, TIMES, TIMES_SIGNATURE)

LARGEST_TEXT = 64_000_000  # bytes of a file that is parsed
LARGEST_SEAL = 1_000_000  # bytes of a file in seal/, which is read before its hash is known


def read_bytes(path: Path) -> bytes:
    """Read a file that is to be parsed; raise Unsound if it is too large."""
    limit = LARGEST_SEAL if path.parent.name == "seal" else LARGEST_TEXT
    if path.stat().st_size > limit:
        raise Unsound(f"{path.name} is larger than {limit:,} bytes")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """Parse a JSON file; raise Unsound for duplicate keys, NaN, infinity and huge integers."""

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise Unsound(f"{path.name} names a key twice")
        return dict(pairs)

    def refuse(text: str) -> float:
        raise Unsound(f"{path.name} holds the number {text[:30]}, which nothing here can be")

    def finite(text: str) -> float:
        return float(text) if math.isfinite(float(text)) else refuse(text)

    def small_integer(text: str) -> int:
        return int(text) if len(text) < 20 else int(refuse(text))

    return json.loads(
        read_bytes(path),
        object_pairs_hook=unique_keys,
        parse_constant=refuse,
        parse_float=finite,
        parse_int=small_integer,
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    if path.parent.name == "seal":
        return hashlib.sha256(read_bytes(path)).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
