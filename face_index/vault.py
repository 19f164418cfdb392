"""vault.db: identities, consents, sealed photos and templates, and an audit log that shows tampering.

Photos and templates are sealed with a key per identity; withdrawal destroys that key and the rows,
overwrites their pages and empties the write-ahead log, so that nothing is left to recover.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils import Database, Migrations

from face_index.consent import Consent, Terms
from face_index.errors import NameTaken, UnknownIdentity
from face_index.face import PackVersion, Vector
from face_index.identity import ErasureReceipt, Identity
from face_index.keys import new_data_key, seal, unseal

migrations = Migrations("vault")


@migrations()
def identities_consents_templates(db: Database) -> None:
    db.table("identities").create(
        {"identity_id": str, "name": str, "enrolled_at": str, "data_key": bytes, "photo_count": int}, pk="identity_id"
    )
    db.table("consents").create({"consent_id": str, "identity_id": str, "record": str}, pk="consent_id")
    db.table("photos").create({"photo_id": str, "identity_id": str, "sealed": bytes}, pk="photo_id")
    db.table("templates").create(
        {"identity_id": str, "pack_name": str, "pack_sha256": str, "dimension": int, "sealed": bytes},
        pk=("identity_id", "pack_sha256"),
    )
    db.table("audit").create(
        {"entry": int, "at": str, "event": str, "subject": str, "previous": str, "sha256": str}, pk="entry"
    )


class Vault:
    """The only writer of vault.db."""

    def __init__(self, path: Path, key: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Database(path)
        self._key = key
        self._db.enable_wal()
        self._db.execute("pragma secure_delete = on")
        migrations.apply(self._db)

    def close(self) -> None:
        self._db.close()

    def add(
        self,
        name: str,
        consent: Consent,
        template: Vector,
        version: PackVersion,
        photos: Sequence[bytes],
        now: datetime,
    ) -> Identity:
        """Register a person; all rows or none.

        Raises:
            NameTaken: an identity of that name exists.
        """
        if any(self._db.table("identities").rows_where("name = ?", [name], limit=1)):
            raise NameTaken(f"{name!r} is already registered; withdraw it first or choose another name")
        identity_id, data_key = uuid.uuid4().hex, new_data_key()
        with self._db.conn:
            self._db.table("identities").insert(
                {
                    "identity_id": identity_id, "name": name, "enrolled_at": now.isoformat(),
                    "data_key": seal(self._key, data_key, identity_id), "photo_count": len(photos),
                }
            )  # fmt: skip
            self._db.table("consents").insert(
                {
                    "consent_id": uuid.uuid4().hex,
                    "identity_id": identity_id,
                    "record": json.dumps(asdict(consent), default=str),
                }
            )
            for photo in photos:
                self._db.table("photos").insert(
                    {
                        "photo_id": uuid.uuid4().hex,
                        "identity_id": identity_id,
                        "sealed": seal(data_key, photo, identity_id),
                    }
                )
            self._db.table("templates").insert(
                {
                    "identity_id": identity_id, "pack_name": version.name, "pack_sha256": version.sha256,
                    "dimension": version.dimension, "sealed": seal(data_key, template.astype("<f4").tobytes(), identity_id),
                }
            )  # fmt: skip
            self._append("enrolled", identity_id, now)
        return self.find(identity_id)

    def identities(self) -> list[Identity]:
        """Everyone registered, by name."""
        return [self._identity(row) for row in self._db.table("identities").rows_where(order_by="name")]

    def find(self, name_or_id: str) -> Identity:
        """The identity of that name or id; raises UnknownIdentity."""
        for row in self._db.table("identities").rows_where("name = :w or identity_id = :w", {"w": name_or_id}, limit=1):
            return self._identity(row)
        raise UnknownIdentity(name_or_id)

    def active_templates(self, version: PackVersion, day: date) -> list[tuple[str, Vector]]:
        """Identity id and template of everyone who may be searched on that day with that pack."""
        active = {identity.identity_id for identity in self.identities() if identity.is_active(day)}
        query = """
            select t.identity_id, t.sealed, i.data_key from templates t join identities i using (identity_id)
            where t.pack_sha256 = ? order by t.identity_id
        """
        found = []
        for row in self._db.query(query, [version.sha256]):
            if row["identity_id"] in active:
                data_key = unseal(self._key, row["data_key"], row["identity_id"])
                plain = unseal(data_key, row["sealed"], row["identity_id"])
                found.append((row["identity_id"], np.frombuffer(plain, "<f4").astype(np.float32)))
        return found

    def withdraw(self, name_or_id: str, now: datetime) -> ErasureReceipt:
        """Erase a person: key, photos, templates, consents and name. What stays is the fact and date."""
        identity_id = self.find(name_or_id).identity_id
        with self._db.conn:
            counts = {
                table: self._db.execute(f"delete from {table} where identity_id = ?", [identity_id]).rowcount
                for table in ("photos", "templates", "consents", "identities")
            }
            self._append("withdrawn and erased", identity_id, now)
        self._db.execute("vacuum")
        self._db.execute("pragma wal_checkpoint(truncate)")
        return ErasureReceipt(identity_id, now, counts["photos"], counts["templates"])

    def audit_is_intact(self) -> bool:
        """Whether every audit entry still carries the hash of the one before it."""
        previous = ""
        for row in self._db.table("audit").rows_where(order_by="entry"):
            if row["previous"] != previous or row["sha256"] != _entry_hash(
                row["at"], row["event"], row["subject"], previous
            ):
                return False
            previous = row["sha256"]
        return True

    def _append(self, event: str, subject: str, now: datetime) -> None:
        last = list(self._db.table("audit").rows_where(order_by="entry desc", limit=1))
        previous = last[0]["sha256"] if last else ""
        at = now.isoformat()
        self._db.table("audit").insert(
            {
                "at": at,
                "event": event,
                "subject": subject,
                "previous": previous,
                "sha256": _entry_hash(at, event, subject, previous),
            }
        )

    def _identity(self, row: dict[str, Any]) -> Identity:
        newest = list(
            self._db.table("consents").rows_where(
                "identity_id = ?", [row["identity_id"]], order_by="rowid desc", limit=1
            )
        )
        record = json.loads(newest[0]["record"])
        consent = Consent(
            signed_by=record["signed_by"],
            signed_on=date.fromisoformat(record["signed_on"]),
            expires_on=date.fromisoformat(record["expires_on"]),
            document_sha256=record["document_sha256"],
            text_version=record["text_version"],
            terms=Terms(record["terms"]),
        )
        return Identity(
            row["identity_id"], row["name"], consent, row["photo_count"], datetime.fromisoformat(row["enrolled_at"])
        )


def _entry_hash(at: str, event: str, subject: str, previous: str) -> str:
    return hashlib.sha256(json.dumps([at, event, subject, previous]).encode()).hexdigest()
