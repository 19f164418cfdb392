"""Erasure receipts: signed statements that a person was erased, which anyone can verify."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlite_utils import Database

from face_index.errors import ReceiptInvalid

STATEMENT = {
    "en": (
        "Photos, templates, proofs, consents, licences and the name in the register were erased "
        "and the key destroyed."
    ),
    "zh-CN": (
        "该登记人的照片、人脸模板、身份证明、同意书、许可及登记库中的姓名均已删除，其密钥已销毁。"
    ),
}


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """States that a person was erased, when and why, without their name.

    Attributes:
        identity_id: Opaque.
        erased_at: UTC, ISO 8601.
        why: "withdrawn", "consent ended" or "rejected".
        photos_erased, templates_erased: How many rows were destroyed.
        backups_erased: Backups from which the person was erased as well.
        backups_unreachable: Backups that were not where they were made. A restore of one of them
            leaves the person out.
        seconds: Time that the backups took.
        public_key: Ed25519, base64; `portrait-scanner vault status` shows its fingerprint.
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
    """Write an erasure into the vault; it is unsigned until all backups have been changed."""
    document = json.dumps(receipt.to_document(), ensure_ascii=False)
    db.table("erasures").upsert(
        {"identity_id": receipt.identity_id, "erased_at": receipt.erased_at, "receipt": document},
        pk="identity_id",
    )


def unfinished_erasures(db: Database) -> list[ErasureReceipt]:
    """Return erasures that were interrupted before they were signed."""
    rows = db.table("erasures").rows_where("json_extract(receipt, '$.signature') = ''")
    return [receipt_from(json.loads(row["receipt"])) for row in rows]


def sign_receipt(receipt: ErasureReceipt, signing_key: bytes) -> ErasureReceipt:
    """Return the receipt with public key and signature."""
    key = Ed25519PrivateKey.from_private_bytes(signing_key)
    public_key = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    unsigned = replace(receipt, public_key=public_key)
    signature = base64.b64encode(key.sign(_canonical(asdict(unsigned)))).decode()
    return replace(unsigned, signature=signature)


def verify_receipt(
    document: dict[str, Any], expected_fingerprint: str | None = None
) -> ErasureReceipt:
    """Check a receipt without the vault.

    Args:
        document: As written by `to_document`.
        expected_fingerprint: Of the vault's key, as `vault status` shows it.

    Raises:
        ReceiptInvalid: The receipt was altered, or another vault signed it.
    """
    try:
        receipt = receipt_from(document)
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


def read_receipts(file: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object, a list of them, or one on each line.

    Raises:
        ReceiptInvalid: The file holds no receipt, or a line that is not JSON.
    """
    text = file.read_text("utf-8", errors="replace")
    try:
        content = json.loads(text)
        return [content] if isinstance(content, dict) else list(content)
    except json.JSONDecodeError:
        pass  # one object on each line
    documents = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                documents.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ReceiptInvalid(
                    f"{file}, line {number}: not an erasure receipt ({error})"
                ) from error
    if not documents:
        raise ReceiptInvalid(f"{file} holds no erasure receipt")
    return documents


def receipt_from(document: dict[str, Any]) -> ErasureReceipt:
    """Return the receipt of a document written by `to_document`; its signature is not checked."""
    record = {name: value for name, value in document.items() if name != "statement"}
    for name in ("backups_erased", "backups_unreachable"):
        record[name] = tuple(record[name])
    return ErasureReceipt(**record)


def public_fingerprint(signing_key: bytes) -> str:
    """Return the fingerprint of the public key of a raw Ed25519 private key."""
    key = Ed25519PrivateKey.from_private_bytes(signing_key)
    return fingerprint(key.public_key().public_bytes_raw())


def fingerprint(public_key: bytes) -> str:
    """Return the SHA-256 of a raw Ed25519 public key, lower-case hex."""
    return hashlib.sha256(public_key).hexdigest()


def _canonical(record: dict[str, Any]) -> bytes:
    unsigned = {name: value for name, value in record.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
