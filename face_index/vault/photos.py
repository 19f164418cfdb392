"""The photos that people let the vault keep, so that another face pack can read them later."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlite_utils import Database

from face_index.vault.audit import AuditLog
from face_index.vault.keys import seal, unseal
from face_index.vault.vault_keys import VaultKeys


class Photos:
    """The table of photos of one vault."""

    def __init__(self, db: Database, keys: VaultKeys, audit: AuditLog) -> None:
        self._db, self._keys, self._audit = db, keys, audit

    def load(self, identity_id: str) -> list[bytes]:
        """Unseal the kept image files of a person."""
        data_key = self._keys.data_key(identity_id)
        rows = self._db.table("photos").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [unseal(data_key, row["sealed"], identity_id) for row in rows]

    def show(self, identity_id: str, actor: str, now: datetime) -> list[bytes]:
        """Unseal the kept image files to show them, and record in the audit log who saw them."""
        photos = self.load(identity_id)
        self._audit.record("photos shown", identity_id, actor, now, photos=len(photos))
        return photos

    def add(self, identity_id: str, photos: Sequence[bytes]) -> None:
        """Seal and store image files. Call this inside a transaction."""
        data_key = self._keys.data_key(identity_id)
        self._db.table("photos").insert_all(
            {
                "photo_id": uuid.uuid4().hex,
                "identity_id": identity_id,
                "sealed": seal(data_key, photo, identity_id),
            }
            for photo in photos
        )
