"""Changing the master key: every data key is wrapped anew, photos and templates stay as they are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from face_index.errors import VaultLocked
from face_index.vault.backups import rewrap_backups
from face_index.vault.keys import new_key
from face_index.vault.schema import rewrap, transaction

if TYPE_CHECKING:
    from face_index.vault.vault import Vault


def rotate_master_key(vault: Vault, actor: str, now: datetime) -> list[str]:
    """Give the vault a new master key and destroy the old one.

    Killed at any point, the vault opens again: until the vault's transaction the old key counts, from
    then on the one that lies ready beside it, and opening finishes what was begun.

    Returns:
        Names of backups that could not be reached: they still need the old key, so make a new backup.

    Raises:
        VaultLocked: the key store cannot be written.
    """
    following = vault.keys.load("next") or new_key()
    if following == vault.key:
        raise VaultLocked("the next master key is the one in use already; give another one")
    vault.keys.save("next", following)
    with transaction(vault.db):
        # First the log: its own key is among what is wrapped anew.
        vault.audit.append("master key rotated", "vault", actor, now, persons=vault.count())
        rewrap(vault.db, vault.key, following)
    unreachable = rewrap_backups(vault.db, vault.path.parent, vault.key, following)
    vault.keys.save("present", following)
    vault.keys.discard("next")
    vault.key = following
    return unreachable
