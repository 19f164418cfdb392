"""Backups that cannot bring back whom the vault has erased.

A withdrawal goes through every backup the program made. One that was carried away cannot be reached;
so erasures are also written, signed, into a file beside the vault, which a restore replays (restoration.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Database

from face_index.errors import BackupUnusable, VaultError
from face_index.vault.receipts import ErasureReceipt
from face_index.vault.records import erase_rows
from face_index.vault.schema import rewrap, transaction

if TYPE_CHECKING:
    from face_index.vault.vault import Vault

ERASURES_FILE = "erasures.jsonl"


def make_backup(vault: Vault, destination: Path, actor: str, now: datetime) -> Path:
    """A consistent copy of the vault as one file, sealed as the vault is; needs the same master key.

    Args:
        destination: a folder, or the file to write.

    Raises:
        BackupUnusable: it exists already or cannot be written.
    """
    path = (
        destination / f"vault-{now:%Y%m%dT%H%M%S.%fZ}.db" if destination.is_dir() else destination
    )
    if path.exists():
        raise BackupUnusable(f"{path} exists already; nothing was overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.touch(mode=0o600)
        copy = sqlite3.connect(partial)
        vault.db.conn.backup(copy)
        copy.execute("pragma journal_mode = delete")
        # Wherever a backup is opened, nobody can have witnessed anything of it there.
        copy.execute("delete from vault_facts where name = 'witnesses'")
        copy.commit()
        [(answer,)] = copy.execute("pragma integrity_check(1)").fetchall()
        copy.close()
        if answer != "ok":
            raise BackupUnusable(
                f"the copy is not sound ({answer}); check the vault with `vault check`"
            )
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise BackupUnusable(
            f"the backup could not be written to {path} ({error}); the vault is unharmed"
        ) from error
    sha256 = _sha256(partial)
    with transaction(vault.db):
        # Recorded before it gets its name: a copy that a withdrawal does not know of must not exist.
        vault.db.table("backups").upsert(
            {
                "path": noted_place(path, vault.path.parent),
                "made_at": now.isoformat(),
                "sha256": sha256,
            },
            pk="path",
        )
        vault.audit.append("backup made", "vault", actor, now, sha256=sha256)
    partial.replace(path)
    return path


def noted_place(path: Path, folder: Path) -> str:
    """How a backup's place is remembered: from the vault's folder on, so that both can be moved or copied together."""
    place, folder = path.resolve(), folder.resolve()
    return str(place.relative_to(folder)) if place.is_relative_to(folder) else str(place)


def backups_of(db: Database, folder: Path) -> list[tuple[Path, str]]:
    """Path and time of every backup; `folder` is the vault's."""
    return [(folder / row["path"], row["made_at"]) for row in db.table("backups").rows]


def erase_from_backups(
    db: Database, folder: Path, identity_id: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Erase a person from every backup that is where it was made: those done, and those not reached."""
    done, unreachable = [], []
    for path, _ in backups_of(db, folder):
        try:
            copy = _open(path)
            with transaction(copy):
                erase_rows(copy, identity_id)
            copy.close()
            done.append(path.name)
        except (OSError, sqlite3.Error):
            unreachable.append(path.name)
    return tuple(done), tuple(unreachable)


def rewrap_backups(db: Database, folder: Path, old: bytes, new: bytes) -> list[str]:
    """Seal the keys in every reachable backup with another master key; names of those not reached."""
    unreachable = []
    for path, _ in backups_of(db, folder):
        try:
            copy = _open(path)
            with transaction(copy):
                rewrap(copy, old, new)
            copy.close()
        except (OSError, sqlite3.Error, VaultError):
            unreachable.append(path.name)
    return unreachable


def note_erasure(folder: Path, receipt: ErasureReceipt) -> None:
    """Remember an erasure in a file outside the vault, so that it survives the vault."""
    path = folder / ERASURES_FILE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
    cut_off = path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if cut_off else "")
        file.write(json.dumps(receipt.to_document(), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _open(path: Path) -> Database:
    if not path.is_file():
        raise FileNotFoundError(path)
    db = Database(sqlite3.connect(path, timeout=30))
    db.execute("pragma secure_delete = on")
    return db


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
