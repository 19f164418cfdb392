"""The keys of an open vault: what the master key unwraps, and what they sign and authenticate."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database

from face_index.vault.database import fact, set_fact
from face_index.vault.keys import seal, unseal
from face_index.vault.receipts import public_fingerprint

# Facts that are sealed with the master key; a rotation seals them again.
SEALED_FACTS = ("key_check", "audit_key", "signing_key")


class VaultKeys:
    """The keys that are stored in one vault, wrapped by its master key.

    Attributes:
        master: The master key. A rotation replaces it.
    """

    def __init__(self, db: Database, master: bytes) -> None:
        self._db, self.master = db, master

    def data_key(self, identity_id: str) -> bytes:
        """Return the key that seals everything of one person."""
        row = self._db.execute(
            "select data_key from identities where identity_id = ?", [identity_id]
        ).fetchone()
        return unseal(self.master, row[0], identity_id)

    def wrap(self, data_key: bytes, identity_id: str) -> bytes:
        """Seal a data key with the master key, as the table of identities stores it."""
        return seal(self.master, data_key, identity_id)

    @property
    def audit_key(self) -> bytes:
        """The HMAC key of the audit log. It stays the same when the master key is rotated."""
        return self._sealed_fact("audit_key")

    @property
    def signing_key(self) -> bytes:
        """The raw Ed25519 private key that signs erasure receipts and evidence."""
        return self._sealed_fact("signing_key")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key that belongs to `signing_key`, lower-case hex."""
        return public_fingerprint(self.signing_key)

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Return an Ed25519 signature (64 bytes) and the raw public key (32 bytes).

        The `fingerprint` of the public key is what the installation publishes.
        """
        key = Ed25519PrivateKey.from_private_bytes(self.signing_key)
        return key.sign(message), key.public_key().public_bytes_raw()

    def keyed_digest(self, purpose: str) -> Callable[[bytes], str]:
        """Return a function that computes HMAC-SHA256, lower-case hex.

        Its key is derived for `purpose` from the audit key, so no other vault has it and it
        outlives key rotation.
        """
        key = hmac.digest(self.audit_key, purpose.encode(), "sha256")
        return lambda message: hmac.digest(key, message, "sha256").hex()

    def _sealed_fact(self, name: str) -> bytes:
        return unseal(self.master, fact(self._db, name) or b"", name)


def rewrap(db: Database, old: bytes, new: bytes) -> None:
    """Seal every data key and fact with another master key. Call this inside a transaction."""
    rows = db.execute("select identity_id, data_key from identities").fetchall()
    for identity_id, wrapped in rows:
        sealed = seal(new, unseal(old, wrapped, identity_id), identity_id)
        db.conn.execute(
            "update identities set data_key = ? where identity_id = ?", [sealed, identity_id]
        )
    for name in SEALED_FACTS:
        value = fact(db, name)
        if value is not None:
            set_fact(db, name, seal(new, unseal(old, value, name), name))
