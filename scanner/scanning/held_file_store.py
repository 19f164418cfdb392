"""Held files and their reviews, in scans.db (scanner.scanning.held_files)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from scanner.databases import transaction


class HeldFileStore:
    """Tables `held_files` and `held_looks`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def file(self, key: str) -> dict[str, Any] | None:
        """Return the row of a held file; None if there is none under that key."""
        rows = self._db.table("held_files").rows_where("key = ?", [key])
        return next((dict(row) for row in rows), None)

    def files(self, sha256: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of all held files, or of those with these bytes."""
        where, values = ("1 = 1", []) if sha256 is None else ("sha256 = ?", [sha256])
        rows = self._db.table("held_files").rows_where(where, values, order_by="held_at")
        return [dict(row) for row in rows]

    def keep_file(self, row: Mapping[str, Any]) -> None:
        """Store the row of a held file; it replaces an earlier one."""
        with transaction(self._db):
            self._db.table("held_files").upsert(dict(row), pk="key")

    def looks(self, key: str) -> list[dict[str, Any]]:
        """Return the reviews of a held file, the oldest first."""
        rows = self._db.table("held_looks").rows_where("key = ?", [key], order_by="rowid")
        return [dict(row) for row in rows]

    def was_looked_at(self, sha256: str) -> bool:
        """Whether anybody reviewed a held file of these bytes."""
        query = "select 1 from held_looks join held_files using (key) where sha256 = ? limit 1"
        return self._db.execute(query, [sha256]).fetchone() is not None

    def keep_look(self, row: Mapping[str, str]) -> None:
        """Add a review; earlier ones stay."""
        with transaction(self._db):
            self._db.table("held_looks").insert(dict(row))
