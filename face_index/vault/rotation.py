"""Changing the master key: data keys are wrapped again, photos and templates stay as they are."""

from __future__ import annotations

from datetime import datetime

from face_index.errors import VaultLocked
from face_index.vault.database import transaction
from face_index.vault.keys import new_key
from face_index.vault.vault import Vault
from face_index.vault.vault_keys import rewrap


def rotate_master_key(vault: Vault, actor: str, now: datetime) -> list[str]:
    """Give the vault a new master key and destroy the old one.

    A process that is killed at any point leaves a vault that opens: until the vault's transaction
    the old key is valid, afterwards the next key in the key store; the next opening finishes the
    rotation.

    Returns:
        Names of backups that could not be reached. They still need the old key, so make a new
        backup.

    Raises:
        VaultLocked: The key store cannot be written.
    """
    present = vault.keys.master
    following = vault.key_store.load("next") or new_key()
    if following == present:
        raise VaultLocked("the next master key is the one in use already; give another one")
    vault.key_store.save("next", following)
    with transaction(vault.db):
        # The audit log comes first, since its key is among those that are wrapped again.
        vault.audit.append("master key rotated", "vault", actor, now, persons=vault.people.count())
        rewrap(vault.db, present, following)
    unreachable = vault.backups.rewrap(present, following)
    vault.key_store.save("present", following)
    vault.key_store.discard("next")
    vault.keys.master = following
    return unreachable
