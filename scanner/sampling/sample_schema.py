"""The tables of samples.db and sample_keys.db, their migrations, and opening the files."""

from __future__ import annotations

from pathlib import Path

from sqlite_utils import Database, Migrations

from scanner.databases import open_database

samples = Migrations("samples")
sample_keys = Migrations("sample_keys")


def open_samples_db(path: Path, migrations: Migrations) -> Database:
    """Open a database of kept samples and bring its tables up to date.

    Deleted rows are overwritten with zeros.

    Args:
        migrations: `samples` or `sample_keys`.
    """
    # SQLite gives its log the permissions of the database.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    db = open_database(path, migrations)
    db.execute("pragma secure_delete = on")
    return db


def forget_deleted(db: Database) -> None:
    """Empty the write-ahead log, in which deleted rows may still stand.

    While another connection reads, the log stays; the next call empties it.
    """
    # A connection that reads keeps the log; the next call after it has closed empties it.
    db.execute("pragma busy_timeout = 1000")
    try:
        db.execute("pragma wal_checkpoint(truncate)").fetchall()
    finally:
        db.execute("pragma busy_timeout = 30000")


@samples()
def drawings_and_patches(db: Database) -> None:
    db.table("drawings").create(
        {
            "sampling_key": str,
            "sha256": str,
            "record": bytes,
            "pack_sha256": str,
            "pictures": str,
            "drawn_at": str,
            "seal": str,
        },
        pk="sampling_key",
    )
    db.table("drawings").create_index(["sha256"])
    db.table("patches").create(
        {"sampling_key": str, "stage": str, "number": int, "places": str, "sealed": bytes},
        pk=("sampling_key", "stage", "number"),
    )


@samples()
def files_without_faces(db: Database) -> None:
    db.table("files_without_faces").create({"sha256": str}, pk="sha256")


@sample_keys()
def one_key_for_each_drawing(db: Database) -> None:
    db.table("sample_keys").create(
        {"sampling_key": str, "wrapped": bytes, "drawn_at": str}, pk="sampling_key"
    )
