"""Erasure receipts: what stays after a withdrawal, signed so that it can be shown to anyone."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlite_utils import Database

from face_index.errors import ReceiptInvalid

STATEMENT = {
    "en": "Photos, templates, proofs, consents, licences and the name in the register were erased and the key destroyed.",
    "zh-CN": "该登记人的照片、人脸模板、身份证明、同意书、许可及登记库中的姓名均已删除，其密钥已销毁。",
}


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """That, when and why a person was erased; no name.

    Attributes:
        identity_id: opaque.
        erased_at: UTC, ISO 8601.
        why: "withdrawn", "consent ended" or "rejected".
        photos_erased, templates_erased: rows destroyed.
        backups_erased: backups from which the person was erased as well.
        backups_unreachable: backups that were not where they were made; a restore refuses the person.
        seconds: that the backups took.
        public_key: Ed25519, base64; its fingerprint is shown by `portrait-scanner vault status`.
        signature: Ed25519 over the canonical JSON of everything else, base64.
    """

    identity_id: str
    erased_at: str
    why: str
    photos_erased: int
    templates_erased: int
    backups_erased: tuple[str, ...] = ()
    backups_unreachable: tuple[str, ...] = ()
    seconds: float = 0.0
    public_key: str = ""
    signature: str = ""

    def to_document(self) -> dict[str, Any]:
        return {"statement": STATEMENT, **asdict(self)}


def record_erasure(db: Database, receipt: ErasureReceipt) -> None:
    """Write an erasure into the vault; unsigned while backups are still being gone through."""
    document = json.dumps(receipt.to_document(), ensure_ascii=False)
    db.table("erasures").upsert(
        {"identity_id": receipt.identity_id, "erased_at": receipt.erased_at, "receipt": document},
        pk="identity_id",
    )


def unfinished_erasures(db: Database) -> list[ErasureReceipt]:
    """Erasures that were cut off before they were signed."""
    rows = db.table("erasures").rows_where("json_extract(receipt, '$.signature') = ''")
    return [receipt_of(json.loads(row["receipt"])) for row in rows]


def sign_receipt(receipt: ErasureReceipt, signing_key: bytes) -> ErasureReceipt:
    """The receipt with key and signature."""
    key = Ed25519PrivateKey.from_private_bytes(signing_key)
    named = {
        **asdict(receipt),
        "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    }
    signature = base64.b64encode(key.sign(_canonical(named))).decode()
    return ErasureReceipt(**{**named, "signature": signature})


def verify_receipt(
    document: dict[str, Any], expected_fingerprint: str | None = None
) -> ErasureReceipt:
    """Check a receipt without the vault.

    Args:
        document: as written by `to_document`.
        expected_fingerprint: of the vault's key, as `vault status` shows it.

    Raises:
        ReceiptInvalid: it was altered, or another vault signed it.
    """
    try:
        receipt = receipt_of(document)
        public = base64.b64decode(receipt.public_key, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(
            base64.b64decode(receipt.signature, validate=True), _canonical(asdict(receipt))
        )
    except InvalidSignature as error:
        raise ReceiptInvalid(
            "the signature does not fit: the receipt was altered after it was signed"
        ) from error
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ReceiptInvalid(f"this is not an erasure receipt ({error})") from error
    if expected_fingerprint and fingerprint(public) != expected_fingerprint.lower().replace(
        ":", ""
    ):
        raise ReceiptInvalid("the receipt is sound, but another vault signed it")
    return receipt


def receipt_of(document: dict[str, Any]) -> ErasureReceipt:
    """The inverse of `to_document`; the signature is not checked."""
    record = {name: value for name, value in document.items() if name != "statement"}
    for name in ("backups_erased", "backups_unreachable"):
        record[name] = tuple(record[name])
    return ErasureReceipt(**record)


def public_fingerprint(signing_key: bytes) -> str:
    """Fingerprint of the public half of a raw Ed25519 private key."""
    return fingerprint(
        Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw()
    )


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a raw Ed25519 public key, lower-case hex."""
    return hashlib.sha256(public_key).hexdigest()


def _canonical(record: dict[str, Any]) -> bytes:
    unsigned = {name: value for name, value in record.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
