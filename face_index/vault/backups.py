"""Backups of a vault, and erasing people from them.

A withdrawal erases the person from every backup that the program made. A backup that was moved
elsewhere cannot be reached; therefore erasures are also recorded in signed receipts outside the
vault, and a restore applies them again (face_index.vault.restoration).
"""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database

from face_index.errors import BackupUnusable, VaultError
from face_index.vault.audit import AuditLog
from face_index.vault.database import transaction
from face_index.vault.schema import erase_rows
from face_index.vault.vault_keys import rewrap


class Backups:
    """The backups that a vault knows of.

    Args:
        db: The vault's database.
        folder: The folder of the vault. Places inside it are recorded relative to it, so that
            vault and backups can be moved or copied together.
    """

    def __init__(self, db: Database, folder: Path, audit: AuditLog) -> None:
        self._db, self._folder, self._audit = db, folder, audit

    def entries(self) -> list[tuple[Path, str]]:
        """Return path and time of every backup."""
        return _entries(self._db, self._folder)

    def make(self, destination: Path, actor: str, now: datetime) -> Path:
        """Write a consistent copy of the vault as one file, sealed with the same master key.

        Args:
            destination: A folder, or the file to write.

        Raises:
            BackupUnusable: The file exists already or cannot be written.
        """
        path = (
            destination / f"vault-{now:%Y%m%dT%H%M%S.%fZ}.db"
            if destination.is_dir()
            else destination
        )
        if path.exists():
            raise BackupUnusable(f"{path} exists already; nothing was overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            self._copy_to(partial)
        except (OSError, sqlite3.Error) as error:
            partial.unlink(missing_ok=True)
            raise BackupUnusable(
                f"the backup could not be written to {path} ({error}); the vault is unharmed"
            ) from error
        sha256 = _sha256(partial)
        with transaction(self._db):
            # Recorded before the file gets its name: no copy may exist that a withdrawal
            # does not know of.
            self.record(path, now.isoformat(), sha256)
            self._audit.append("backup made", "vault", actor, now, sha256=sha256)
        partial.replace(path)
        return path

    def record(self, path: Path, made_at: str, sha256: str) -> None:
        """Remember a file as a backup. Call this inside a transaction."""
        place, folder = path.resolve(), self._folder.resolve()
        relative = place.relative_to(folder) if place.is_relative_to(folder) else place
        self._db.table("backups").upsert(
            {"path": str(relative), "made_at": made_at, "sha256": sha256}, pk="path"
        )

    def erase_person(self, identity_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Erase a person from every backup that is still where it was made.

        Returns:
            Names of the backups that were changed, and of those that could not be reached.
        """
        erased, unreachable = [], []
        for path, _ in self.entries():
            try:
                copy = _open(path)
                with transaction(copy):
                    erase_rows(copy, identity_id)
                copy.close()
                erased.append(path.name)
            except (OSError, sqlite3.Error):
                unreachable.append(path.name)
        return tuple(erased), tuple(unreachable)

    def rewrap(self, old: bytes, new: bytes) -> list[str]:
        """Seal the keys in every reachable backup with another master key.

        Returns:
            Names of the backups that could not be reached.
        """
        return rewrap_backups(self._db, self._folder, old, new)

    def _copy_to(self, path: Path) -> None:
        path.touch(mode=0o600)
        copy = sqlite3.connect(path)
        self._db.conn.backup(copy)
        copy.execute("pragma journal_mode = delete")
        # Wherever the backup is opened, the witnesses there have recorded nothing about it.
        copy.execute("delete from vault_facts where name = 'witnesses'")
        copy.commit()
        [(answer,)] = copy.execute("pragma integrity_check(1)").fetchall()
        copy.close()
        if answer != "ok":
            raise BackupUnusable(
                f"the copy is not sound ({answer}); check the vault with `vault check`"
            )


def rewrap_backups(db: Database, folder: Path, old: bytes, new: bytes) -> list[str]:
    """Do what Backups.rewrap does for a vault that is not unlocked yet."""
    unreachable = []
    for path, _ in _entries(db, folder):
        try:
            copy = _open(path)
            with transaction(copy):
                rewrap(copy, old, new)
            copy.close()
        except (OSError, sqlite3.Error, VaultError):
            unreachable.append(path.name)
    return unreachable


def _entries(db: Database, folder: Path) -> list[tuple[Path, str]]:
    return [(folder / row["path"], row["made_at"]) for row in db.table("backups").rows]


def _open(path: Path) -> Database:
    if not path.is_file():
        raise FileNotFoundError(path)
    db = Database(sqlite3.connect(path, timeout=30))
    db.execute("pragma secure_delete = on")
    return db


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
