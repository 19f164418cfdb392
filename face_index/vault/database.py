"""Connections to vault.db, transactions, and the table of the vault's own facts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from face_index.errors import VaultDamaged
from face_index.vault.schema import migrations

# Larger files are not checked at each opening, since the check reads all of them.
_CHECKED_UP_TO_BYTES = 200_000_000


def connect(path: Path, *, any_thread: bool = False) -> Database:
    """Open a vault file and bring its schema up to date. Call this while the vault's lock is held.

    The connection overwrites deleted data with zeros and syncs every commit to the disk.

    Args:
        any_thread: Several threads use the connection; the caller makes them take turns.

    Raises:
        VaultDamaged: The file is not a sound vault.
    """
    _reject_empty_file(path)
    is_new = not path.exists()
    db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
    if is_new:
        path.chmod(0o600)
    try:
        db.execute("pragma secure_delete = on")
        db.execute("pragma synchronous = full")
        if not is_new:
            _check_file(db, path)
        db.enable_wal()
        migrations.apply(db)
    except sqlite3.OperationalError as error:
        db.close()
        if "already exists" in str(error):
            raise VaultDamaged(
                f"{path} was made by an early development version that nothing can be carried "
                "over from; move it away and register again"
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        db.close()
        raise damaged(path, error) from error
    return db


def _reject_empty_file(path: Path) -> None:
    if not path.exists():
        return
    # Never opened as a plain file: closing it would drop the locks of every connection that this
    # process has on it (sqlite.org/howtocorrupt, 2.2), and another process would then delete the
    # write-ahead log that those connections use.
    if path.stat().st_size == 0:
        raise damaged(path, "it is empty")


def _check_file(db: Database, path: Path) -> None:
    """Raise sqlite3.DatabaseError unless the file is sound and holds a vault."""
    if path.stat().st_size <= _CHECKED_UP_TO_BYTES:
        [(answer,)] = db.execute("pragma quick_check(1)").fetchall()
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
    tables = db.table_names()
    if tables and "vault_facts" not in tables:
        raise sqlite3.DatabaseError(
            f"it is another program's database, with {', '.join(sorted(tables)[:3])}"
        )


def damaged(path: Path, error: object) -> VaultDamaged:
    """Return the error for a file that is not a sound vault."""
    return VaultDamaged(
        f"{path} is damaged ({error}); nothing was written to it. "
        "Bring back the newest backup with `portrait-scanner vault restore FILE`"
    )


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Write everything inside, or nothing; waits for other writers before the first read."""
    db.conn.execute("begin immediate")
    try:
        yield
    except BaseException:
        db.conn.rollback()
        raise
    db.conn.commit()


@contextmanager
def read_transaction(db: Database) -> Iterator[None]:
    """Read one state of the vault inside, whatever other processes write meanwhile."""
    db.conn.execute("begin deferred")
    try:
        yield
    finally:
        db.conn.rollback()


def empty_write_ahead_log(db: Database) -> None:
    """Copy the write-ahead log into the file and truncate it, so that no older page is left."""
    [(busy, *_)] = db.conn.execute("pragma wal_checkpoint(truncate)").fetchall()
    if busy:
        raise sqlite3.OperationalError(
            "another program reads the vault, so its write-ahead log cannot be emptied; "
            "close it and run `vault check`"
        )


def fact(db: Database, name: str) -> bytes | None:
    """Return one of the vault's facts about itself, None if it is not set."""
    rows = list(db.table("vault_facts").rows_where("name = ?", [name]))
    return bytes(rows[0]["value"]) if rows else None


def set_fact(db: Database, name: str, value: bytes) -> None:
    db.table("vault_facts").upsert({"name": name, "value": value}, pk="name")
