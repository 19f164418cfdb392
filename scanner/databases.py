"""Opening a SQLite database of the scanner, and transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from sqlite_utils import Database, Migrations


def open_database(path: Path, migrations: Migrations, *, any_thread: bool = False) -> Database:
    """Open a database with a write-ahead log and bring its tables up to date.

    Args:
        any_thread: whether several threads use the database; the caller must hold a lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may open a new home at the same time; one of them creates the tables.
    with FileLock(path.with_suffix(".lock")):
        db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
        db.enable_wal()
        migrations.apply(db)
    return db


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Run a with-block as one transaction, which waits for other writers before it reads."""
    db.conn.execute("begin immediate")
    try:
        yield
    except BaseException:
        db.conn.rollback()
        raise
    db.conn.commit()
