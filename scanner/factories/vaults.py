"""Opening the vault, with its master key and the records of erasures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from face_index.vault import Vault
from face_index.vault.keys import EnvironmentKeys, FileKeys, KeyringKeys, KeyStore
from scanner.environment import system_login

if TYPE_CHECKING:
    from scanner.settings import Settings


log = logging.getLogger(__name__)

REPAIR = (
    "Put the newest backup back with `portrait-scanner vault restore FILE`, or let this one stand "
    "with `portrait-scanner vault repair --reason TEXT`, which erases again whoever was erased"
)


def key_store(settings: Settings) -> KeyStore:
    """The store of the master key: the environment if the key is set there, else as configured."""
    if settings.master_key:
        following = settings.next_master_key
        return EnvironmentKeys(
            settings.master_key.get_secret_value(),
            following.get_secret_value() if following else None,
        )
    if settings.key_store == "keyring":
        return KeyringKeys(settings.vault_path)
    return FileKeys(settings.key_path)


def witnesses_of(settings: Settings) -> tuple[Path, Path]:
    """The folders whose records of erasures are compared with the vault when it is opened."""
    return settings.vault_path.parent, settings.receipts_path


def open_vault(settings: Settings, *, any_thread: bool = False) -> Vault:
    """The vault of this home folder, unlocked.

    Args:
        any_thread: several threads use it in turn; each of them sets the login that it serves.
    """
    witnesses = witnesses_of(settings)
    vault = Vault(
        settings.vault_path, key_store(settings), witnesses=witnesses, any_thread=any_thread
    )
    if not any_thread:
        vault.audit.login = system_login()
    # A mistyped --home must not look like a vault in which nobody is registered.
    if vault.is_new:
        log.warning("a new vault, with nobody in it, was made in %s", settings.vault_path.parent)
    for problem in vault.rollback.findings.problems:
        log.error("%s; nobody who was erased is searched. %s", problem, REPAIR)
    return vault
