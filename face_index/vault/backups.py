"""Backups that cannot bring back whom the vault has erased.

A withdrawal goes through every backup the program made. One that was carried away cannot be reached;
so erasures are also written, signed, into a file beside the vault, and a restore replays what that file,
the present vault and any file of receipts say.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from face_index.errors import BackupUnusable, ReceiptInvalid, VaultDamaged, VaultError
from face_index.vault.keys import KeyStore
from face_index.vault.receipts import ErasureReceipt, receipt_of, record_erasure, verify_receipt
from face_index.vault.records import empty_write_ahead_log, erase_rows
from face_index.vault.schema import rewrap, set_fact, transaction

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
    path = destination / f"vault-{now:%Y%m%dT%H%M%S.%fZ}.db" if destination.is_dir() else destination
    if path.exists():
        raise BackupUnusable(f"{path} exists already; nothing was overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.touch(mode=0o600)
        copy = sqlite3.connect(partial)
        vault.db.conn.backup(copy)
        copy.execute("pragma journal_mode = delete")
        [(answer,)] = copy.execute("pragma integrity_check(1)").fetchall()
        copy.close()
        if answer != "ok":
            raise BackupUnusable(f"the copy is not sound ({answer}); check the vault with `vault check`")
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise BackupUnusable(f"the backup could not be written to {path} ({error}); the vault is unharmed") from error
    sha256 = _sha256(partial)
    with transaction(vault.db):
        # Recorded before it gets its name: a copy that a withdrawal does not know of must not exist.
        vault.db.table("backups").upsert(
            {"path": _noted(path, vault.path.parent), "made_at": now.isoformat(), "sha256": sha256}, pk="path"
        )
        vault.audit.append("backup made", "vault", actor, now, sha256=sha256)
    partial.replace(path)
    return path


def _noted(path: Path, folder: Path) -> str:
    """How a backup's place is remembered: from the vault's folder on, so that both can be moved or copied together."""
    place, folder = path.resolve(), folder.resolve()
    return str(place.relative_to(folder)) if place.is_relative_to(folder) else str(place)


def backups_of(db: Database, folder: Path) -> list[tuple[Path, str]]:
    """Path and time of every backup; `folder` is the vault's."""
    return [(folder / row["path"], row["made_at"]) for row in db.table("backups").rows]


def erase_from_backups(db: Database, folder: Path, identity_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
    """Remember an erasure in a file beside the vault, so that it survives the vault."""
    path = folder / ERASURES_FILE
    if not path.exists():
        path.touch(mode=0o600)
    cut_off = path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if cut_off else "")
        file.write(json.dumps(receipt.to_document(), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def restore(
    backup: Path, path: Path, keys: KeyStore, receipts: Sequence[Path], actor: str, now: datetime
) -> dict[str, Any]:
    """Put a backup in the vault's place, without anyone who was erased since.

    The file that was in the vault's place is moved aside, not overwritten.

    Args:
        receipts: files of erasure receipts from elsewhere, JSON or one JSON object a line.

    Returns:
        What was restored: persons, persons erased again, where the former file is.

    Raises:
        BackupUnusable: it is not a sound vault, or not this key's.
        ReceiptInvalid: a receipt that was given is not sound.
    """
    from face_index.vault.vault import Vault

    if not backup.is_file():
        raise BackupUnusable(f"there is no backup {backup}")
    if path.exists() and backup.samefile(path):
        raise BackupUnusable(f"{backup} is the vault itself, not a backup of it")
    _finish_what_was_begun(path, keys)
    gone, unreadable = _erased_since(path, receipts)
    incoming = path.with_name(path.name + ".incoming")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in path.parent.glob(incoming.name + "*"):
        leftover.unlink()
    incoming.touch(mode=0o600)
    incoming.write_bytes(backup.read_bytes())
    try:
        vault = Vault(incoming, keys)
    except VaultDamaged as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(
            f"{backup} is no sound backup of a vault; nothing was changed. Take another one"
        ) from error
    except VaultError as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(f"{backup} cannot be restored: {error}") from error
    problems = vault.audit.problems()
    if unreadable:
        problems.append(f"{unreadable} lines of {ERASURES_FILE} cannot be read: compare with receipts kept elsewhere")
    with transaction(vault.db):
        again = [identity.identity_id for identity in vault.identities() if identity.identity_id in gone]
        for identity_id in again:
            erase_rows(vault.db, identity_id)
        # The restored vault must itself remember whom it may not bring back.
        for receipt in gone.values():
            record_erasure(vault.db, receipt)
        set_fact(vault.db, "gallery_version", str(max(vault.gallery_version, _gallery_version(path)) + 1).encode())
        vault.audit.append(
            "restored from a backup", "vault", actor, now,
            erased_again=again, problems=problems, former_newest_entry=_newest_entry(path),
        )  # fmt: skip
        _carry_over_backups(vault.db, path)
        moved = _aside(path, now)
        if moved:
            kept = {"path": _noted(moved, path.parent), "made_at": now.isoformat(), "sha256": ""}
            vault.db.table("backups").upsert(kept, pk="path")
    empty_write_ahead_log(vault.db)
    persons = len(vault.identities())
    vault.close()
    if moved:
        _move(path, moved)
    incoming.replace(path)
    return {
        "persons": persons, "erased_again": len(again), "former_file": str(moved) if moved else None,
        "audit_problems": problems,
    }  # fmt: skip


def _open(path: Path) -> Database:
    if not path.is_file():
        raise FileNotFoundError(path)
    db = Database(sqlite3.connect(path, timeout=30))
    db.execute("pragma secure_delete = on")
    return db


def _finish_what_was_begun(path: Path, keys: KeyStore) -> None:
    """Opening the present vault ends an erasure that was cut off; a vault that does not open is why people restore."""
    from face_index.vault.vault import Vault

    if path.is_file():
        with suppress(VaultError, sqlite3.Error):
            Vault(path, keys).close()


def _erased_since(path: Path, receipts: Sequence[Path]) -> tuple[dict[str, ErasureReceipt], int]:
    """Who must not come back, from the file of erasures, the present vault and given receipts; unreadable lines."""
    found, unreadable = [], 0
    for file in receipts:
        if not file.exists():
            raise ReceiptInvalid(f"there is no file of receipts {file}")
        for document in read_receipts(file):
            verify_receipt(document)
            found.append((document, str(file)))
    own = path.parent / ERASURES_FILE
    for line in own.read_text("utf-8", errors="replace").splitlines() if own.exists() else []:
        # A process that was killed may have left half a line; what it says lies in the vault as well.
        try:
            found.append((json.loads(line), str(own)))
        except json.JSONDecodeError:
            unreadable += bool(line.strip())
    with suppress(sqlite3.Error):  # a damaged vault is why people restore; the file of erasures speaks for it
        if path.is_file():
            present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            found += [(json.loads(row[0]), str(path)) for row in present.execute("select receipt from erasures")]
            present.close()
    checked = [_checked(document, place) for document, place in found]
    return {receipt.identity_id: receipt for receipt in checked}, unreadable


def read_receipts(file: Path) -> list[dict[str, Any]]:
    """Receipts in a file: one JSON object, a list of them, or one a line; raises ReceiptInvalid."""
    text = file.read_text("utf-8", errors="replace")
    try:
        whole = json.loads(text)
        return [whole] if isinstance(whole, dict) else list(whole)
    except json.JSONDecodeError:
        pass
    documents = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                documents.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ReceiptInvalid(f"{file}, line {number}: not an erasure receipt ({error})") from error
    if not documents:
        raise ReceiptInvalid(f"{file} holds no erasure receipt")
    return documents


def _checked(document: dict[str, Any], place: str) -> ErasureReceipt:
    if isinstance(document, dict) and document.get("signature") == "":
        return receipt_of(document)  # an erasure that was cut off: opening the restored vault ends and signs it
    try:
        return verify_receipt(document)
    except ReceiptInvalid as error:
        raise ReceiptInvalid(f"{place}: {error}") from error


def _gallery_version(path: Path) -> int:
    """Of the file in the vault's place, 0 if that cannot be read: the restored one must go on from there."""
    with suppress(sqlite3.Error, TypeError):
        present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        row = present.execute("select value from vault_facts where name = 'gallery_version'").fetchone()
        present.close()
        return int(row[0])
    return 0


def _newest_entry(path: Path) -> str | None:
    """Where the log of the file in the vault's place ended: what follows there is not in the backup."""
    try:
        present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        row = present.execute("select sha256 from audit order by entry desc limit 1").fetchone()
        present.close()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _carry_over_backups(db: Database, path: Path) -> None:
    """Backups made since the restored one was made must stay within reach of withdrawals."""
    try:
        if path.is_file():
            present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            present.row_factory = sqlite3.Row
            for row in present.execute("select path, made_at, sha256 from backups").fetchall():
                db.table("backups").upsert(dict(row), pk="path")
            present.close()
    except sqlite3.Error:
        pass


def _aside(path: Path, now: datetime) -> Path | None:
    """Where the file that is in the vault's place will go; it counts as a backup, so withdrawals reach it."""
    return path.resolve().with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%SZ}") if path.exists() else None


def _move(path: Path, target: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(target.with_name(target.name + ending))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
