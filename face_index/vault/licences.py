"""Licences: models, uploaders and hubs that a registered person allows."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlite_utils import Database

from face_index.consent import Licence, LicenceKind
from face_index.errors import UnknownIdentity
from face_index.vault.audit import AuditLog
from face_index.vault.database import transaction
from face_index.vault.people import People


class Licences:
    """The table of licences of one vault."""

    def __init__(self, db: Database, audit: AuditLog, people: People) -> None:
        self._db, self._audit, self._people = db, audit, people

    def grant(
        self,
        name_or_id: str,
        kind: LicenceKind,
        value: str,
        until: date,
        *,
        note: str,
        actor: str,
        now: datetime,
    ) -> Licence:
        """Record that a person allows a model, an uploader or a hub until a day.

        Raises:
            UnknownIdentity: Nobody has that name or id.
        """
        identity_id = self._people.find(name_or_id).identity_id
        licence = Licence(uuid.uuid4().hex, identity_id, kind, value, until, note)
        with transaction(self._db):
            self._db.table("licences").insert(
                {
                    "licence_id": licence.licence_id,
                    "identity_id": identity_id,
                    "kind": str(kind),
                    "value": value,
                    "until": until.isoformat(),
                    "note": note,
                }
            )
            self._audit.append(
                "licence granted",
                identity_id,
                actor,
                now,
                kind=kind,
                until=until,
                licence_id=licence.licence_id,
            )
        return licence

    def revoke(self, licence_id: str, actor: str, now: datetime) -> None:
        """End a licence, given its id or the beginning of it.

        Raises:
            UnknownIdentity: No licence, or more than one, has that id.
        """
        with transaction(self._db):
            rows = list(
                self._db.table("licences").rows_where(
                    "substr(licence_id, 1, ?) = ?", [len(licence_id), licence_id]
                )
            )
            if len(rows) != 1:
                raise UnknownIdentity(licence_id, "licence")
            [row] = rows
            self._db.conn.execute("delete from licences where licence_id = ?", [row["licence_id"]])
            self._audit.append(
                "licence revoked", row["identity_id"], actor, now, licence_id=row["licence_id"]
            )

    def list_for(self, identity_id: str) -> list[Licence]:
        """Return all licences of a person, expired ones too."""
        rows = self._db.table("licences").rows_where(
            "identity_id = ?", [identity_id], order_by="until"
        )
        return [
            Licence(
                row["licence_id"],
                row["identity_id"],
                LicenceKind(row["kind"]),
                row["value"],
                date.fromisoformat(row["until"]),
                row["note"],
            )
            for row in rows
        ]

    def covering(
        self, identity_id: str, hub: str, creator: str | None, sha256: str, day: date
    ) -> Licence | None:
        """Return the licence under which a file is allowed on that day, None without one."""
        licences = self.list_for(identity_id)
        return next((each for each in licences if each.covers(hub, creator, sha256, day)), None)
