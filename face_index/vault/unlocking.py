"""Finding the master key that opens a vault, and finishing a rotation that was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database

from face_index.errors import VaultLocked
from face_index.vault.backups import rewrap_backups
from face_index.vault.database import fact, set_fact, transaction
from face_index.vault.keys import KeyStore, new_key, seal, unseal

_KEY_CHECK = b"portrait-scanner"


def unlock(db: Database, key_store: KeyStore, existed: bool, folder: Path) -> bytes:
    """Return the master key of a vault; a new vault gets its keys now.

    Args:
        existed: The file was there before this process opened it.
        folder: The folder of the vault, from which the places of its backups are relative.

    Raises:
        VaultLocked: There is no key, or it is another vault's.
    """
    present, following = key_store.load("present"), key_store.load("next")
    check = fact(db, "key_check")
    if check is None:
        if existed and db.table("identities").count:
            raise VaultLocked(
                "this vault does not say which key opens it: it was altered; restore a backup"
            )
        return _create_keys(db, key_store, present)
    if present is None and following is None:
        raise VaultLocked(
            f"this vault needs its master key, and there is none in {key_store.where}; bring it "
            "back from where you keep a copy. Nothing was changed. Without the key nobody can "
            "read what is sealed"
        )
    if present is not None and _opens(present, check):
        if following is not None:
            key_store.discard("next")  # a rotation was interrupted before the vault changed
        return present
    if following is not None and _opens(following, check):
        # A rotation was interrupted after the vault changed: backups may still have the old key.
        if present is not None:
            rewrap_backups(db, folder, present, following)
        key_store.save("present", following)
        key_store.discard("next")
        return following
    raise VaultLocked(
        f"the master key in {key_store.where} is not the one that sealed this vault; nothing was "
        "changed. Bring back the right key"
    )


def _opens(key: bytes, check: bytes) -> bool:
    try:
        return unseal(key, check, "key_check") == _KEY_CHECK
    except VaultLocked:
        return False


def _create_keys(db: Database, key_store: KeyStore, key: bytes | None) -> bytes:
    if key is None:
        key = new_key()
        key_store.save("present", key)
    signing_key = Ed25519PrivateKey.generate().private_bytes_raw()
    with transaction(db):
        set_fact(db, "key_check", seal(key, _KEY_CHECK, "key_check"))
        set_fact(db, "audit_key", seal(key, new_key(), "audit_key"))
        set_fact(db, "signing_key", seal(key, signing_key, "signing_key"))
        set_fact(db, "gallery_version", json.dumps(0).encode())
    return key
