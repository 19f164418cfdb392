"""The consent receipts of registered people."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlite_utils import Database

from face_index.consent import Consent, check_consent, consent_from_json
from face_index.identity import Identity
from face_index.vault.audit import AuditLog
from face_index.vault.database import transaction
from face_index.vault.gallery_version import increase_gallery_version
from face_index.vault.people import People


class Consents:
    """The table of consents of one vault. The newest receipt of a person is the valid one."""

    def __init__(self, db: Database, audit: AuditLog, people: People) -> None:
        self._db, self._audit, self._people = db, audit, people

    def history(self, identity_id: str) -> list[Consent]:
        """Return all receipts of a person, oldest first."""
        rows = self._db.table("consents").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [consent_from_json(row["record"]) for row in rows]

    def add(self, identity_id: str, consent: Consent) -> None:
        """Store a receipt, which becomes the valid one. Call this inside a transaction."""
        consent_id = uuid.uuid4().hex
        self._db.table("consents").insert(
            {
                "consent_id": consent_id,
                "identity_id": identity_id,
                "signed_on": consent.signed_on.isoformat(),
                "expires_on": consent.expires_on.isoformat(),
                "record": consent.to_json(),
            }
        )
        self._db.table("identities").update(identity_id, {"consent_id": consent_id})

    def renew(self, name_or_id: str, consent: Consent, actor: str, now: datetime) -> Identity:
        """Record a newer consent, with other dates or terms; the older receipts stay."""
        with transaction(self._db):
            identity = self._people.find(name_or_id)
            check_consent(consent, None, now.date())
            self.add(identity.identity_id, consent)
            increase_gallery_version(self._db)
            self._audit.append(
                "consent renewed",
                identity.identity_id,
                actor,
                now,
                expires_on=consent.expires_on,
                terms=consent.terms,
                document_sha256=consent.document_sha256,
            )
        return self._people.find(identity.identity_id)
