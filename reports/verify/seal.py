"""The seal: the Ed25519 signatures over the tag manifests and over the list of timestamps."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from reports.verify.checks import Item, Unsound, checked
from reports.verify.files import (
    KEY,
    SIGNATURE,
    STAMPED,
    STATEMENT,
    TAG_MANIFESTS,
    TIMES,
    TIMES_SIGNATURE,
    read_bytes,
    read_json,
    sha256_of,
)

TIMESTAMP_NAME = re.compile(r"seal/[a-z0-9][a-z0-9-]{0,30}\.(tsq|tsr|pem)")
# Points of small order, for which a signature can be valid for every message. RFC 8032,
# section 5.1.7, leaves this check to the verifier.
SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)


def seal_items(bundle: Path, signer: str | None) -> Iterator[Item]:
    """Check the signatures, the key, and that statement, manifests and timestamps fit together.

    Args:
        signer: SHA-256 of the key that must have signed; None: any key.
    """
    for text, signature in ((STATEMENT, SIGNATURE), (TIMES, TIMES_SIGNATURE)):
        for name in (text, signature):
            yield checked(name, _check_signed_file, bundle, text, signature)
    yield checked(KEY, _check_key, bundle, signer)
    for name in TAG_MANIFESTS:
        yield checked(name, _check_manifest_hash, bundle, name)
    yield checked(STAMPED, _check_stamped, bundle)
    times = checked(TIMES, _check_times, bundle)
    if not times.ok:
        yield times


def check_signature(raw: bytes, signature: bytes, message: bytes, name: str) -> None:
    """Raise Unsound unless an Ed25519 signature is valid.

    Args:
        raw: the public key.
        name: of the file that holds the message.
    """
    # RFC 8032 forbids an encoding whose y is not below p; such a point can be of small order too.
    if raw in SMALL_ORDER or int.from_bytes(raw, "little") % 2**255 >= 2**255 - 19:
        raise Unsound(f"{KEY} is a key that fits any text")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        raise Unsound(
            f"the signature does not fit {name}, or {KEY} is not the key that made it"
        ) from None


def stamped_text(statement: bytes, signature: bytes) -> bytes:
    """Return the text that authorities timestamp: the hashes of the statement and its signature."""
    digests = {
        "signature_sha256": hashlib.sha256(signature).hexdigest(),
        "statement_sha256": hashlib.sha256(statement).hexdigest(),
    }
    return (json.dumps(digests, sort_keys=True) + "\n").encode()


def timestamp_files(bundle: Path) -> dict[str, str]:
    """Map the files of all timestamps to their SHA-256, as seal/timestamps.json lists them.

    A list that cannot be read gives an empty result; the check of the list itself reports it.
    """
    try:
        record = read_json(bundle / TIMES)
        return {
            str(name): str(digest)
            for stamp in record["timestamps"]
            for name, digest in stamp["files"].items()
        }
    except Exception:
        return {}


def _check_signed_file(bundle: Path, text: str, signature: str) -> None:
    key, signed = read_bytes(bundle / KEY), read_bytes(bundle / signature)
    check_signature(key, signed, read_bytes(bundle / text), text)


def _check_key(bundle: Path, signer: str | None) -> str | None:
    found = sha256_of(bundle / KEY)
    if found != read_json(bundle / STATEMENT)["key_sha256"]:
        raise Unsound("is not the key that the signed statement names")
    if signer is not None and signer != found:
        raise Unsound(f"the bundle was signed by {found}, not by the expected signer")
    if signer:
        return None
    return (
        f"signed by {found}; compare it with the fingerprint that the signer published (--signer)"
    )


def _check_manifest_hash(bundle: Path, name: str) -> None:
    if sha256_of(bundle / name) != read_json(bundle / STATEMENT)["files"][name]:
        raise Unsound("is not the one that was signed")


def _check_stamped(bundle: Path) -> None:
    found = (bundle / STAMPED).read_bytes()
    statement, signature = read_bytes(bundle / STATEMENT), (bundle / SIGNATURE).read_bytes()
    if found != stamped_text(statement, signature):
        raise Unsound("does not hold the hashes of this bundle's statement and signature")


def _check_times(bundle: Path) -> None:
    if read_json(bundle / TIMES)["signature_sha256"] != sha256_of(bundle / SIGNATURE):
        raise Unsound("belongs to another bundle")
