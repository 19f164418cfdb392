"""The templates of registered people, sealed, each with the face pack that computed it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import numpy as np
from sqlite_utils import Database

from face_index.faces.face import PackVersion, Prototypes
from face_index.vault.audit import AuditLog
from face_index.vault.database import read_transaction, transaction
from face_index.vault.gallery_version import gallery_version, increase_gallery_version
from face_index.vault.keys import seal, unseal
from face_index.vault.people import NOT_ERASED
from face_index.vault.rollback import RollbackCheck
from face_index.vault.vault_keys import VaultKeys

_SEARCHABLE = """
    and i.status = 'active' and c.signed_on <= :day and c.expires_on >= :day
    and (i.adult_on is null or i.adult_on <= :day)
"""


class SealedTemplates:
    """The table of templates of one vault."""

    def __init__(
        self, db: Database, keys: VaultKeys, audit: AuditLog, rollback: RollbackCheck
    ) -> None:
        self._db, self._keys, self._audit, self._rollback = db, keys, audit, rollback

    def active(self, version: PackVersion, day: date) -> list[tuple[str, Prototypes]]:
        """Return the templates of every adult who may be searched on that day with that pack."""
        return list(self._read(version, searchable_on=day))

    def gallery_on(
        self, version: PackVersion, day: date
    ) -> tuple[int, list[tuple[str, Prototypes]]]:
        """Return the gallery version and the active templates, read from one state of the vault.

        Raises:
            VaultSetBack: Somebody was erased and no receipt says who; they may be among these.
        """
        self._rollback.require_known_erasures()
        with read_transaction(self._db):
            return gallery_version(self._db), self.active(version, day)

    def all(self, version: PackVersion) -> list[tuple[str, Prototypes]]:
        """Return the templates of everyone stored, to notice a person who enrols twice.

        People who wait for approval and people whose consent has expired are among them.
        """
        return list(self._read(version, searchable_on=None))

    def count(self, version: PackVersion) -> int:
        """Return how many people have a template of that pack."""
        return int(self._db.table("templates").count_where("pack_sha256 = ?", [version.sha256]))

    def add(self, identity_id: str, prototypes: Prototypes, version: PackVersion) -> None:
        """Seal and store a template. Call this inside a transaction."""
        data_key = self._keys.data_key(identity_id)
        self._db.table("templates").insert(
            {
                "identity_id": identity_id,
                "pack_sha256": version.sha256,
                "pack_name": version.name,
                "pack_version": version.version,
                "dimension": version.dimension,
                "sealed": seal(data_key, prototypes.astype("<f4").tobytes(), identity_id),
            }
        )

    def replace(
        self,
        identity_id: str,
        prototypes: Prototypes,
        version: PackVersion,
        actor: str,
        now: datetime,
        *,
        keep_others: bool = False,
    ) -> None:
        """Store the template of another pack and destroy the templates of earlier packs.

        Args:
            keep_others: Keep them, for second opinions.
        """
        replaced = "delete from templates where identity_id = ? and (pack_sha256 = ? or ?)"
        with transaction(self._db):
            self._db.conn.execute(replaced, [identity_id, version.sha256, not keep_others])
            self.add(identity_id, prototypes, version)
            increase_gallery_version(self._db)
            self._audit.append(
                "embedded again", identity_id, actor, now, pack_sha256=version.sha256
            )

    def _read(
        self, version: PackVersion, searchable_on: date | None
    ) -> Iterator[tuple[str, Prototypes]]:
        """Yield identity id and prototypes, float32 [p, d], by id.

        Args:
            searchable_on: Only adults who are approved and whose consent holds on that day; None
                for everyone stored.

        Raises:
            VaultLocked: A template cannot be unsealed.
        """
        query = f"""
            select t.identity_id, t.sealed, i.data_key from templates t
            join identities i using (identity_id) join consents c on c.consent_id = i.consent_id
            where t.pack_sha256 = :pack and {NOT_ERASED} {_SEARCHABLE if searchable_on else ""}
            order by t.identity_id
        """
        values = {"pack": version.sha256, "day": searchable_on.isoformat() if searchable_on else ""}
        master = self._keys.master
        for identity_id, sealed, wrapped in self._db.conn.execute(query, values):
            plain = unseal(unseal(master, wrapped, identity_id), sealed, identity_id)
            yield identity_id, np.frombuffer(plain, "<f4").reshape(-1, version.dimension)
