"""Registrations that have a consent and no photos yet: one per account, kept for a day."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from face_index.consent import Consent, consent_from_json
from scanner.web.store import WebStore

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Draft:
    """The consent of a registration that is not complete.

    Attributes:
        born_on: kept until the photos arrive, to know whether a guardian must sign.
    """

    name: str
    consent: Consent
    born_on: date | None
    keep_photos: bool

    def signed(self, document_sha256: str | None) -> Draft:
        """The draft with the SHA-256 of the signed document."""
        return replace(self, consent=replace(self.consent, document_sha256=document_sha256))


class Drafts:
    """The drafts in web.db."""

    def __init__(self, store: WebStore) -> None:
        self._store = store

    def keep(self, account_id: str, draft: Draft, now: datetime) -> None:
        document = {
            "name": draft.name,
            "consent": draft.consent.to_json(),
            "keep_photos": draft.keep_photos,
            "born_on": draft.born_on.isoformat() if draft.born_on else None,
        }
        row = {
            "account_id": account_id,
            "consent": json.dumps(document, ensure_ascii=False),
            "created_at": now.isoformat(),
        }
        with self._store.transaction() as db:
            db.table("drafts").upsert(row, pk="account_id")

    def of(self, account_id: str, now: datetime) -> Draft | None:
        """The draft of an account; None if there is none or it is older than a day."""
        oldest = (now - KEPT).isoformat()
        for row in self._store.db.table("drafts").rows_where(
            "account_id = ? and created_at > ?", [account_id, oldest]
        ):
            document = json.loads(row["consent"])
            born = date.fromisoformat(document["born_on"]) if document["born_on"] else None
            return Draft(
                document["name"],
                consent_from_json(document["consent"]),
                born,
                document["keep_photos"],
            )
        return None

    def forget(self, account_id: str) -> None:
        with self._store.transaction() as db:
            db.table("drafts").delete_where("account_id = ?", [account_id])
        self._store.empty_log()

    def forget_old(self, now: datetime) -> None:
        """Delete the drafts that have expired."""
        with self._store.transaction() as db:
            db.table("drafts").delete_where("created_at <= ?", [(now - KEPT).isoformat()])
