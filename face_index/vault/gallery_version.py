"""The gallery version: a number that rises whenever the set of active templates changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from face_index.vault.database import fact, set_fact


def gallery_version(db: Database) -> int:
    """Return how often somebody entered or left the gallery, or had their template changed."""
    return int(fact(db, "gallery_version") or b"0")


def increase_gallery_version(db: Database) -> None:
    """Count one more change. Call this inside the transaction of the change."""
    set_fact(db, "gallery_version", str(gallery_version(db) + 1).encode())


def gallery_version_of(path: Path) -> int:
    """Read the gallery version of a vault file without its key; 0 if there is no vault yet."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        if not db.execute("select 1 from sqlite_master where name = 'vault_facts'").fetchone():
            return 0  # another process is creating it at this moment
        row = db.execute("select value from vault_facts where name = 'gallery_version'").fetchone()
    return int(row[0]) if row else 0
