"""Putting a backup in the vault's place, without anyone whom the vault has erased since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from face_index.errors import BackupUnusable, ReceiptInvalid, VaultDamaged, VaultError
from face_index.vault.database import empty_write_ahead_log, set_fact, transaction
from face_index.vault.former_vault import (
    backups_in,
    erasures_in,
    gallery_version_in,
    newest_entry_in,
)
from face_index.vault.keys import KeyStore
from face_index.vault.logins import Login
from face_index.vault.receipts import (
    ErasureReceipt,
    read_receipts,
    receipt_from,
    record_erasure,
    verify_receipt,
)
from face_index.vault.rollback import RESTORED
from face_index.vault.schema import erase_rows
from face_index.vault.vault import Vault
from face_index.vault.witness import ERASURES_FILE, LogEnd, Witnesses


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore.

    Attributes:
        persons: How many people the restored vault holds.
        erased_again: How many people of the backup had been erased since it was made.
        former_file: Where the file was moved that had the vault's place, None if there was none.
        audit_problems: What is wrong with the restored audit log, in sentences.
    """

    persons: int
    erased_again: int
    former_file: Path | None
    audit_problems: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return {
            "persons": self.persons,
            "erased_again": self.erased_again,
            "former_file": str(self.former_file) if self.former_file else None,
            "audit_problems": list(self.audit_problems),
        }


def restore(
    backup: Path,
    path: Path,
    key_store: KeyStore,
    receipts: Sequence[Path],
    actor: str,
    now: datetime,
    witnesses: Sequence[Path] | None = None,
    login: Login = (),
) -> Restored:
    """Put a backup in the vault's place, without anyone who was erased since.

    The file that was in the vault's place is moved aside, not overwritten.

    Args:
        receipts: Files of erasure receipts from elsewhere, JSON or one JSON object a line.
        witnesses: As for Vault.

    Raises:
        BackupUnusable: The file is not a sound vault, or not this key's.
        ReceiptInvalid: A receipt that was given is not valid.
    """
    _require_other_file(backup, path)
    folders = (path.parent,) if witnesses is None else tuple(witnesses)
    _finish_interrupted_erasure(path, key_store, folders)
    erased, unreadable = _erased_since(path, receipts, folders)
    incoming = _copy_beside(backup, path)
    vault = _open(incoming, key_store, backup)
    vault.audit.login = login
    problems = _problems(vault, unreadable)
    outside = Witnesses(folders, vault.keys.keyed_digest("witness"))
    former_entry, (ends, _) = newest_entry_in(path), outside.ends()
    moved = _place_aside(path, now)
    with transaction(vault.db):
        erased_again = _erase_again(vault, erased)
        _continue_counting(vault, path, ends)
        set_fact(vault.db, "witnesses", str(len(folders)).encode())
        vault.audit.append(
            RESTORED,
            "vault",
            actor,
            now,
            erased_again=erased_again,
            problems=problems,
            former_newest_entry=former_entry,
            # The witnesses know the file that is replaced; its end does not contradict this one.
            witnessed=[*(end.sha256 for end in ends), *([former_entry] if former_entry else [])],
        )
        _carry_over_backups(vault, path, moved, now)
    empty_write_ahead_log(vault.db)
    persons, end = len(vault.people.all()), vault.rollback.log_end()
    vault.close()
    outside.begin([receipt for receipt in erased.values() if receipt.signature])
    if moved:
        _move(path, moved)
    incoming.replace(path)
    outside.note_end(end)
    return Restored(persons, len(erased_again), moved, tuple(problems))


def _require_other_file(backup: Path, path: Path) -> None:
    if not backup.is_file():
        raise BackupUnusable(f"there is no backup {backup}")
    if path.exists() and backup.samefile(path):
        raise BackupUnusable(f"{backup} is the vault itself, not a backup of it")


def _finish_interrupted_erasure(path: Path, key_store: KeyStore, folders: Sequence[Path]) -> None:
    """Open the present vault, which finishes an erasure that was interrupted.

    A vault that does not open is a usual reason for a restore, so errors are ignored.
    """
    if path.is_file():
        with suppress(VaultError, sqlite3.Error):
            Vault(path, key_store, witnesses=folders).close()


def _erased_since(
    path: Path, receipts: Sequence[Path], folders: Sequence[Path]
) -> tuple[dict[str, ErasureReceipt], int]:
    """Return the receipts of all people who must not come back, and the number of unreadable lines.

    They come from the witnesses, from the present vault and from the given files.
    """
    found, unreadable = [], 0
    for file in receipts:
        if not file.exists():
            raise ReceiptInvalid(f"there is no file of receipts {file}")
        for document in read_receipts(file):
            verify_receipt(document)
            found.append((document, str(file)))
    for own in (folder / ERASURES_FILE for folder in folders):
        for line in own.read_text("utf-8", errors="replace").splitlines() if own.exists() else []:
            # A process that was killed may have left half a line; the vault has that receipt too.
            try:
                found.append((json.loads(line), str(own)))
            except json.JSONDecodeError:
                unreadable += bool(line.strip())
    if path.is_file():
        found += [(json.loads(receipt), str(path)) for receipt in erasures_in(path)]
    checked = [_checked(document, place) for document, place in found]
    return {receipt.identity_id: receipt for receipt in checked}, unreadable


def _checked(document: dict[str, Any], place: str) -> ErasureReceipt:
    if isinstance(document, dict) and document.get("signature") == "":
        # An erasure that was interrupted; opening the restored vault finishes and signs it.
        return receipt_from(document)
    try:
        return verify_receipt(document)
    except ReceiptInvalid as error:
        raise ReceiptInvalid(f"{place}: {error}") from error


def _copy_beside(backup: Path, path: Path) -> Path:
    """Copy a backup into the vault's folder, under a name of its own."""
    incoming = path.with_name(path.name + ".incoming")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in path.parent.glob(incoming.name + "*"):
        leftover.unlink()
    incoming.touch(mode=0o600)
    incoming.write_bytes(backup.read_bytes())
    return incoming


def _open(incoming: Path, key_store: KeyStore, backup: Path) -> Vault:
    """Open the copy of a backup as a vault; a copy that does not open is deleted."""
    try:
        return Vault(incoming, key_store, witnesses=())
    except VaultDamaged as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(
            f"{backup} is no sound backup of a vault; nothing was changed. Take another one"
        ) from error
    except VaultError as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(f"{backup} cannot be restored: {error}") from error


def _problems(vault: Vault, unreadable: int) -> list[str]:
    problems = vault.audit.problems()
    if unreadable:
        problems.append(
            f"{unreadable} lines of {ERASURES_FILE} cannot be read: "
            "compare with receipts kept elsewhere"
        )
    return problems


def _carry_over_backups(vault: Vault, path: Path, moved: Path | None, now: datetime) -> None:
    """Add the backups that were made since this one, and the former file.

    Withdrawals must reach them.
    """
    for row in backups_in(path):
        vault.db.table("backups").upsert(row, pk="path")
    if moved:
        vault.backups.record(moved, now.isoformat(), sha256="")


def _erase_again(vault: Vault, erased: Mapping[str, ErasureReceipt]) -> list[str]:
    """Erase the people who were erased since the backup was made; return their ids.

    The receipts are stored as well, since the restored vault must know whom it may not bring back.
    """
    erased_again = [
        person.identity_id for person in vault.people.all() if person.identity_id in erased
    ]
    for identity_id in erased_again:
        erase_rows(vault.db, identity_id)
    for receipt in erased.values():
        record_erasure(vault.db, receipt)
    return erased_again


def _continue_counting(vault: Vault, path: Path, ends: Iterable[LogEnd]) -> None:
    """Set a gallery version that is higher than every one that the former file had."""
    versions = [vault.gallery_version, gallery_version_in(path)]
    versions += [end.gallery_version for end in ends]
    set_fact(vault.db, "gallery_version", str(max(versions) + 1).encode())


def _place_aside(path: Path, now: datetime) -> Path | None:
    """Return the place to which the former file is moved, None if there is none.

    The former file counts as a backup, so that withdrawals reach it.
    """
    if not path.exists():
        return None
    return path.resolve().with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")


def _move(path: Path, target: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(target.with_name(target.name + ending))
