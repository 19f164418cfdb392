"""Signed lists of the hashes and fingerprints of confirmed files, which hubs share.

The records have the names of StopNCII's exchange (FetchHashes of api.stopncii.org, as the client of
ThreatExchange reads it), with three further signal types. A list holds no face, no picture and no
name; a case is named by its id only, so that it can be withdrawn. Of a withdrawn record the hash
stays, so that whoever imported it can delete it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import TypeAdapter

from crawlers.hashes import is_of_nothing
from reports.cases.case import Case
from reports.cases.case_summary import weights_of
from reports.cases.listings import listings_of
from scanner.errors import HashListRefused
from scanner.fingerprints.fingerprint import FileFacts, Fingerprint
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile, ListedFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.signs import FACTOR_ROWS, SIDE
from scanner.fingerprints.sketch import NUMBERS, VERSION, Sketch

FORMAT = "portrait-scanner hash list 1"
_MOST_BYTES = 512 * 1024 * 1024
_MOST_RECORDS = 1_000_000
_CLOCK_TOLERANCE = timedelta(hours=1)
_HEX = frozenset("0123456789abcdef")


class SignalType(StrEnum):
    """What the value of a record is."""

    FILE = "SHA256"
    WEIGHTS = "WeightsSHA256"  # of the tensor bytes behind a safetensors header
    FINGERPRINT = f"WeightsSketch{VERSION}"


class HashStatus(StrEnum):
    """Whether a record holds."""

    ACTIVE = "Active"
    WITHDRAWN = "Withdrawn"


Sign = Callable[[bytes], tuple[bytes, bytes]]


def hash_list(
    cases: Iterable[tuple[Case, HashStatus]],
    fingerprints: Mapping[str, KnownFile],
    source: str,
    sign: Sign,
    now: datetime,
) -> dict[str, Any]:
    """The signed list of cases as a JSON document.

    Args:
        cases: confirmed ones, and those that no longer are.
        fingerprints: of their files, by SHA-256.
        source: the name under which the list is known.
    """
    records = [
        {
            "lastModtimestamp": int(now.timestamp()),
            "signalType": str(kind),
            "hashValue": value,
            "hashStatus": str(status),
            "caseNumbers": {case.case_id: str(status)},
            "CSPFeedbacks": [],
        }
        for case, status in cases
        for kind, value in _signals(case, fingerprints, status)
    ]
    document = {
        "format": FORMAT,
        "source": source,
        "issued_at": now.isoformat(),
        "count": len(records),
        "nextPageToken": "",
        "nextSetTimestamp": int(now.timestamp()),
        "hasMoreRecords": False,
        "hashRecords": records,
        "public_key": base64.b64encode(sign(b"")[1]).decode(),
    }
    return {**document, "signature": base64.b64encode(sign(_signed_text(document))[0]).decode()}


def _signals(
    case: Case, fingerprints: Mapping[str, KnownFile], status: HashStatus
) -> Iterable[tuple[SignalType, str]]:
    for sha256 in dict.fromkeys(listing.sha256 for listing in listings_of(case)):
        yield SignalType.FILE, sha256
    if (weights := weights_of(case)) is not None:
        yield SignalType.WEIGHTS, weights
    known = fingerprints.get(case.checkpoint.sha256)
    if known is not None and status == HashStatus.ACTIVE:
        yield SignalType.FINGERPRINT, _fingerprint_text(known.fingerprint)


def _fingerprint_text(fingerprint: Fingerprint) -> str:
    """A fingerprint as JSON, without the training session that a header names."""
    facts = {**asdict(fingerprint.facts), "session_id": None}
    sketches = {str(network): _packed(one) for network, one in fingerprint.sketches.items()}
    start = _packed(fingerprint.start) if fingerprint.start else None
    document = {"family": fingerprint.family, "facts": facts, "sketches": sketches, "start": start}
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _packed(sketch: Sketch) -> dict[str, Any]:
    numbers = base64.b64encode(sketch.numbers.astype("<f2").tobytes()).decode()
    return {"numbers": numbers, "length": sketch.length}


def _signed_text(document: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class ReadList:
    """A list whose signature holds.

    Attributes:
        key_sha256: of the public key that signed it.
        digest: SHA-256 of its text.
        files: the files that it lists, whose cases hold.
        withdrawn: ids of cases that no longer hold.
    """

    source: str
    key_sha256: str
    issued_at: datetime
    digest: str
    files: tuple[ListedFile, ...]
    withdrawn: frozenset[str]


def read_hash_list(text: bytes, signer: str | None = None) -> ReadList:
    """Read a list and check its signature.

    Args:
        signer: SHA-256 of the public key that must have signed it; None for any.

    Raises:
        HashListRefused: it is no such list, its signature does not hold, or another key signed it.
    """
    document = _document(text)
    try:
        key = base64.b64decode(str(document.get("public_key")), validate=True)
        signature = base64.b64decode(str(document.get("signature")), validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _signed_text(document))
    except (ValueError, binascii.Error, InvalidSignature) as error:
        raise HashListRefused(
            "its signature does not hold: it was changed, or is damaged"
        ) from error
    digest = hashlib.sha256(key).hexdigest()
    if signer is not None and digest != signer.lower():
        raise HashListRefused(f"it was signed with the key {digest}, and not with {signer}")
    source, records = document.get("source"), document.get("hashRecords")
    if not isinstance(source, str) or not source.strip() or not isinstance(records, list):
        raise HashListRefused("it names no source, or holds no records")
    if len(records) > _MOST_RECORDS:
        raise HashListRefused(f"it holds more than {_MOST_RECORDS:,} records")
    try:
        issued_at = datetime.fromisoformat(str(document.get("issued_at")))
        if issued_at.tzinfo is None:
            raise ValueError(issued_at)
        files, withdrawn = _sorted_out(source.strip()[:80], records)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise HashListRefused(f"a record of it cannot be read ({type(error).__name__})") from error
    name = source.strip()[:80]
    return ReadList(name, digest, issued_at, hashlib.sha256(text).hexdigest(), files, withdrawn)


def _document(text: bytes) -> dict[str, Any]:
    if len(text) > _MOST_BYTES:
        raise HashListRefused(f"it is larger than {_MOST_BYTES // 2**20} MiB")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HashListRefused("it is not valid JSON") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise HashListRefused(f"it is no {FORMAT!r}")
    return document


def _sorted_out(source: str, records: list[Any]) -> tuple[tuple[ListedFile, ...], frozenset[str]]:
    hashes: dict[str, dict[SignalType, list[str]]] = {}
    withdrawn: set[str] = set()
    for record in records:
        kind = str(record["signalType"])
        for case_id, status in dict(record["caseNumbers"]).items():
            if status != HashStatus.ACTIVE or record["hashStatus"] != HashStatus.ACTIVE:
                withdrawn.add(str(case_id))
            elif kind in set(SignalType):
                own = hashes.setdefault(str(case_id), {})
                own.setdefault(SignalType(kind), []).append(str(record["hashValue"]))
    files = [
        _listed(source, case_id, own) for case_id, own in hashes.items() if case_id not in withdrawn
    ]
    return tuple(files), frozenset(withdrawn)


def _listed(source: str, case_id: str, own: Mapping[SignalType, list[str]]) -> ListedFile:
    sha256s = [_hex(value) for value in own.get(SignalType.FILE, ())]
    weights = next((_hex(value) for value in own.get(SignalType.WEIGHTS, ())), None)
    sketch = next(iter(own.get(SignalType.FINGERPRINT, ())), None)
    name = f"case {case_id} of {source}"
    known = None
    if sketch is not None and sha256s:
        known = KnownFile(sha256s[0], weights, name, _fingerprint_from_text(sketch))
    return ListedFile(source, case_id, tuple(sha256s), weights, known)


def _hex(value: str) -> str:
    digits = value.lower()
    if len(digits) != 64 or not set(digits) <= _HEX or is_of_nothing(digits):
        raise ValueError(value)
    return digits


def _fingerprint_from_text(text: str) -> Fingerprint:
    document = json.loads(text)
    sketches = {
        Network(name): _unpacked(one, NUMBERS) for name, one in document["sketches"].items()
    }
    if not sketches:
        raise ValueError(text[:80])
    start = _unpacked(document["start"], FACTOR_ROWS * SIDE) if document["start"] else None
    facts = TypeAdapter(FileFacts).validate_json(json.dumps(document["facts"]), strict=True)
    return Fingerprint(VERSION, str(document["family"]), sketches, facts, start)


def _unpacked(packed: Mapping[str, Any], count: int) -> Sketch:
    numbers = np.frombuffer(base64.b64decode(packed["numbers"], validate=True), "<f2")
    length = float(packed["length"])
    is_sound = len(numbers) == count and np.isfinite(numbers).all() and np.any(numbers)
    if not is_sound or not 0 < length < math.inf:
        raise ValueError("a sketch")
    return Sketch(numbers, length)


def import_hash_list(
    store: FingerprintStore, text: bytes, signer: str | None, now: datetime
) -> ReadList:
    """Take over a list in place of the earlier one that was signed with the same key.

    Args:
        signer: SHA-256 of the public key that must have signed it; needed for the first list.

    Raises:
        HashListRefused: see read_hash_list; or the key is not known yet, or the list is not newer
            than the one that was taken over.
    """
    if signer is not None and not (len(signer) == 64 and set(signer.lower()) <= _HEX):
        raise HashListRefused(f"{signer!r} is no SHA-256 of a key: 64 hex digits are expected")
    found = read_hash_list(text, signer)
    known = {row["key_sha256"]: row for row in store.lists()}.get(found.key_sha256)
    if known is None and signer is None:
        raise HashListRefused(
            f"the key {found.key_sha256} is not known here; ask {found.source} for the SHA-256 of "
            "its key on another way, and give it with --signer"
        )
    if found.issued_at > now + _CLOCK_TOLERANCE:
        raise HashListRefused(f"it was issued in the future, at {found.issued_at.isoformat()}")
    is_other = known is not None and known["digest"] != found.digest
    if known and is_other and found.issued_at <= datetime.fromisoformat(known["issued_at"]):
        raise HashListRefused(
            f"a newer list of that key was taken over, issued at {known['issued_at']}"
        )
    issued_at = found.issued_at.isoformat()
    store.replace_list(found.key_sha256, found.source, issued_at, found.digest, found.files)
    return found
