"""What can be known of a vault without its key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def gallery_version_of(path: Path) -> int:
    """How often somebody entered or left the gallery of that vault; 0 where there is none yet."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        if not db.execute("select 1 from sqlite_master where name = 'vault_facts'").fetchone():
            return 0  # another process is just making it
        row = db.execute("select value from vault_facts where name = 'gallery_version'").fetchone()
    return int(row[0]) if row else 0
