"""Digests in captures, in any algorithm and encoding."""

from __future__ import annotations

import base64
import binascii
import hashlib

_KNOWN = {
    name.replace("_", ""): name
    for name in hashlib.algorithms_guaranteed
    if not name.startswith("shake")
}


def is_known(algorithm: str) -> bool:
    """Whether digests of this algorithm can be computed."""
    return _plain(algorithm) in _KNOWN


def digest_of(text: str | None) -> tuple[str, bytes] | None:
    """Algorithm and bytes of a digest `algorithm:value` in base16, 32 or 64; None otherwise."""
    name, _, value = (text or "").strip().partition(":")
    if not is_known(name):
        return None
    name = _KNOWN[_plain(name)]
    size = hashlib.new(name, usedforsecurity=False).digest_size
    for decode in (_base16, _base32, _base64):
        data = decode(value.strip())
        if data is not None and len(data) == size:
            return name, data
    return None


def _base16(value: str) -> bytes | None:
    try:
        return binascii.unhexlify(value)
    except (binascii.Error, ValueError):
        return None


def _base32(value: str) -> bytes | None:
    try:
        return base64.b32decode(value.upper() + "=" * (-len(value) % 8))
    except (binascii.Error, ValueError):
        return None


def _base64(value: str) -> bytes | None:
    other = b"-_" if "-" in value or "_" in value else None
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=other, validate=True)
    except (binascii.Error, ValueError):
        return None


def is_of_nothing(digest: tuple[str, bytes] | None) -> bool:
    """Whether a digest is that of zero bytes."""
    return (
        digest is not None and hashlib.new(digest[0], usedforsecurity=False).digest() == digest[1]
    )


def _plain(algorithm: str) -> str:
    return algorithm.strip().lower().replace("-", "").replace("_", "")
