"""Reading what can still be read of the file that a restore replaces, which may be damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any


def gallery_version_in(path: Path) -> int:
    """Return the gallery version, 0 if it cannot be read."""
    with suppress(sqlite3.Error, TypeError), _read_only(path) as db:
        row = db.execute("select value from vault_facts where name = 'gallery_version'").fetchone()
        return int(row[0])
    return 0


def newest_entry_in(path: Path) -> str | None:
    """Return the hash of the newest entry of the audit log, None if it cannot be read."""
    with suppress(sqlite3.Error), _read_only(path) as db:
        row = db.execute("select sha256 from audit order by entry desc limit 1").fetchone()
        return str(row[0]) if row else None
    return None


def backups_in(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the table of backups, none if they cannot be read."""
    with suppress(sqlite3.Error), _read_only(path) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("select path, made_at, sha256 from backups")]
    return []


def erasures_in(path: Path) -> list[str]:
    """Return the erasure receipts as JSON, none if they cannot be read."""
    with suppress(sqlite3.Error), _read_only(path) as db:
        return [row[0] for row in db.execute("select receipt from erasures")]
    return []


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        yield db
