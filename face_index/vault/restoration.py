"""Putting a backup in the vault's place, without anyone whom the vault has erased since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from face_index.errors import BackupUnusable, ReceiptInvalid, VaultDamaged, VaultError
from face_index.vault.backups import ERASURES_FILE, noted_place
from face_index.vault.keys import KeyStore
from face_index.vault.logins import Login
from face_index.vault.receipts import ErasureReceipt, receipt_of, record_erasure, verify_receipt
from face_index.vault.records import empty_write_ahead_log, erase_rows
from face_index.vault.schema import set_fact, transaction
from face_index.vault.vault import Vault
from face_index.vault.witness import RESTORED, LogEnd, Witnesses


def restore(
    backup: Path, path: Path, keys: KeyStore, receipts: Sequence[Path], actor: str, now: datetime,
    witnesses: Sequence[Path] | None = None, login: Login = (),
) -> dict[str, Any]:  # fmt: skip
    """Put a backup in the vault's place, without anyone who was erased since.

    The file that was in the vault's place is moved aside, not overwritten.

    Args:
        receipts: files of erasure receipts from elsewhere, JSON or one JSON object a line.
        witnesses: as the vault has them.

    Returns:
        What was restored: persons, persons erased again, where the former file is.

    Raises:
        BackupUnusable: it is not a sound vault, or not this key's.
        ReceiptInvalid: a receipt that was given is not sound.
    """
    if not backup.is_file():
        raise BackupUnusable(f"there is no backup {backup}")
    if path.exists() and backup.samefile(path):
        raise BackupUnusable(f"{backup} is the vault itself, not a backup of it")
    folders = (path.parent,) if witnesses is None else tuple(witnesses)
    _finish_what_was_begun(path, keys, folders)
    gone, unreadable = _erased_since(path, receipts, folders)
    incoming = path.with_name(path.name + ".incoming")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in path.parent.glob(incoming.name + "*"):
        leftover.unlink()
    incoming.touch(mode=0o600)
    incoming.write_bytes(backup.read_bytes())
    vault = _opened(incoming, keys, backup)
    vault.login = login
    problems = vault.audit.problems()
    outside = Witnesses(folders, vault.keyed_digest("witness"))
    former = _newest_entry(path)
    ends = outside.ends()[0]
    if unreadable:
        problems.append(
            f"{unreadable} lines of {ERASURES_FILE} cannot be read: compare with receipts kept elsewhere"
        )
    with transaction(vault.db):
        again = [
            identity.identity_id for identity in vault.identities() if identity.identity_id in gone
        ]
        for identity_id in again:
            erase_rows(vault.db, identity_id)
        # The restored vault must itself remember whom it may not bring back.
        for receipt in gone.values():
            record_erasure(vault.db, receipt)
        versions = [
            vault.gallery_version,
            _gallery_version(path),
            *(end.gallery_version for end in ends),
        ]
        set_fact(vault.db, "gallery_version", str(max(versions) + 1).encode())
        set_fact(vault.db, "witnesses", str(len(folders)).encode())
        # The witnesses know the file that is replaced: what they say of it is no objection to this one.
        witnessed = [*(end.sha256 for end in ends), *([former] if former else [])]
        vault.audit.append(
            RESTORED, "vault", actor, now, erased_again=again, problems=problems, former_newest_entry=former, witnessed=witnessed
        )  # fmt: skip
        _carry_over_backups(vault.db, path)
        moved = _aside(path, now)
        if moved:
            kept = {
                "path": noted_place(moved, path.parent),
                "made_at": now.isoformat(),
                "sha256": "",
            }
            vault.db.table("backups").upsert(kept, pk="path")
    empty_write_ahead_log(vault.db)
    persons, end = (
        len(vault.identities()),
        LogEnd(*vault.audit.end, vault.gallery_version, vault.erasure_count),
    )
    vault.close()
    outside.begin([receipt for receipt in gone.values() if receipt.signature])
    if moved:
        _move(path, moved)
    incoming.replace(path)
    outside.note_end(end)
    return {
        "persons": persons, "erased_again": len(again), "former_file": str(moved) if moved else None,
        "audit_problems": problems,
    }  # fmt: skip


def _opened(incoming: Path, keys: KeyStore, backup: Path) -> Vault:
    """The copy of a backup as a vault; deleted where it is none."""
    try:
        return Vault(incoming, keys, witnesses=())
    except VaultDamaged as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(
            f"{backup} is no sound backup of a vault; nothing was changed. Take another one"
        ) from error
    except VaultError as error:
        incoming.unlink(missing_ok=True)
        raise BackupUnusable(f"{backup} cannot be restored: {error}") from error


def _finish_what_was_begun(path: Path, keys: KeyStore, witnesses: Sequence[Path]) -> None:
    """Opening the present vault ends an erasure that was cut off; a vault that does not open is why people restore."""
    if path.is_file():
        with suppress(VaultError, sqlite3.Error):
            Vault(path, keys, witnesses=witnesses).close()


def _erased_since(
    path: Path, receipts: Sequence[Path], folders: Sequence[Path]
) -> tuple[dict[str, ErasureReceipt], int]:
    """Who must not come back, from the file of erasures, the present vault and given receipts; unreadable lines."""
    found, unreadable = [], 0
    for file in receipts:
        if not file.exists():
            raise ReceiptInvalid(f"there is no file of receipts {file}")
        for document in read_receipts(file):
            verify_receipt(document)
            found.append((document, str(file)))
    for own in (folder / ERASURES_FILE for folder in folders):
        for line in own.read_text("utf-8", errors="replace").splitlines() if own.exists() else []:
            # A process that was killed may have left half a line; what it says lies in the vault as well.
            try:
                found.append((json.loads(line), str(own)))
            except json.JSONDecodeError:
                unreadable += bool(line.strip())
    with suppress(
        sqlite3.Error
    ):  # a damaged vault is why people restore; the file of erasures speaks for it
        if path.is_file():
            present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            found += [
                (json.loads(row[0]), str(path))
                for row in present.execute("select receipt from erasures")
            ]
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
                raise ReceiptInvalid(
                    f"{file}, line {number}: not an erasure receipt ({error})"
                ) from error
    if not documents:
        raise ReceiptInvalid(f"{file} holds no erasure receipt")
    return documents


def _checked(document: dict[str, Any], place: str) -> ErasureReceipt:
    if isinstance(document, dict) and document.get("signature") == "":
        return receipt_of(
            document
        )  # an erasure that was cut off: opening the restored vault ends and signs it
    try:
        return verify_receipt(document)
    except ReceiptInvalid as error:
        raise ReceiptInvalid(f"{place}: {error}") from error


def _gallery_version(path: Path) -> int:
    """Of the file in the vault's place, 0 if that cannot be read: the restored one must go on from there."""
    with suppress(sqlite3.Error, TypeError):
        present = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        row = present.execute(
            "select value from vault_facts where name = 'gallery_version'"
        ).fetchone()
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
    return (
        path.resolve().with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
        if path.exists()
        else None
    )


def _move(path: Path, target: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(target.with_name(target.name + ending))
