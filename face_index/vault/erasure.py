"""Erasing people: their rows, their key, and their rows in every backup."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from face_index.errors import ClockFarAhead
from face_index.vault.audit import AuditLog
from face_index.vault.backups import Backups
from face_index.vault.database import empty_write_ahead_log, transaction
from face_index.vault.gallery_version import increase_gallery_version
from face_index.vault.people import People, PersonFilter
from face_index.vault.receipts import (
    ErasureReceipt,
    record_erasure,
    sign_receipt,
    unfinished_erasures,
)
from face_index.vault.rollback import RollbackCheck
from face_index.vault.schema import TABLES_OF_A_PERSON, erase_rows
from face_index.vault.vault_keys import VaultKeys

# A vault in use is backed up every day. After a longer silence the clock may be ahead, and an
# erasure cannot be undone.
QUIET_AT_MOST = timedelta(days=31)


class Erasure:
    """Erases people from one vault and its backups, and signs receipts for it."""

    def __init__(
        self,
        db: Database,
        keys: VaultKeys,
        audit: AuditLog,
        people: People,
        backups: Backups,
        rollback: RollbackCheck,
    ) -> None:
        self._db, self._keys, self._audit = db, keys, audit
        self._people, self._backups, self._rollback = people, backups, rollback

    def withdraw(
        self, name_or_id: str, now: datetime, actor: str, why: str = "withdrawn"
    ) -> ErasureReceipt:
        """Erase a person from the vault and every backup; the signed fact and date stay.

        Raises:
            UnknownIdentity: Nobody has that name or id.
        """
        return self.erase(self._people.find(name_or_id).identity_id, why, actor, now)

    def withdraw_ended(
        self, now: datetime, actor: str, *, clock_is_right: bool = False
    ) -> list[ErasureReceipt]:
        """Erase everybody whose consent has ended.

        Args:
            clock_is_right: Somebody checked the clock, although nothing was written for longer
                than QUIET_AT_MOST.

        Raises:
            ClockFarAhead: The clock may be ahead; nobody was erased.
        """
        yesterday = now.date() - timedelta(days=1)
        ended = self._people.page(PersonFilter(expires_by=yesterday))
        if ended and not clock_is_right:
            silent_for = self._audit.silent_for(now)
            if silent_for > QUIET_AT_MOST:
                raise ClockFarAhead(now, silent_for)
        return [self.withdraw(person.identity_id, now, actor, "consent ended") for person in ended]

    def erase(
        self, identity_id: str, why: str, actor: str, now: datetime, **details: Any
    ) -> ErasureReceipt:
        """Erase a person, given their full id.

        Raises:
            UnknownIdentity: Nobody has that id.
        """
        with transaction(self._db):
            # If two processes erase a person at once, the second raises and spoils no receipt.
            self._people.find(identity_id)
            counts = erase_rows(self._db, identity_id)
            increase_gallery_version(self._db)
            self._audit.append(f"erased: {why}", identity_id, actor, now, **counts, **details)
            begun = ErasureReceipt(
                identity_id, now.isoformat(), why, counts["photos"], counts["templates"]
            )
            record_erasure(self._db, begun)
        return self._finish(begun)

    def finish_interrupted(self) -> None:
        """Finish erasures that were interrupted before their receipt was signed."""
        for begun in unfinished_erasures(self._db):
            self._finish(begun)

    def rows(self) -> list[dict[str, Any]]:
        """Return id, time and signed receipt of every erasure, oldest first."""
        return list(self._db.table("erasures").rows_where(order_by="erased_at"))

    def erased_with_rows(self) -> list[str]:
        """Return ids of people who were erased and have rows again, put in by somebody else."""
        found = set[str]()
        for table in TABLES_OF_A_PERSON:
            query = (
                f"select distinct identity_id from {table} "
                "where identity_id in (select identity_id from erasures)"
            )
            found |= {row["identity_id"] for row in self._db.query(query)}
        return sorted(found)

    def _finish(self, begun: ErasureReceipt) -> ErasureReceipt:
        """Erase the person from backups and write-ahead log, and sign the receipt.

        Until the receipt is signed, every opening of the vault begins here again.
        """
        started = time.monotonic()
        erased, unreachable = self._backups.erase_person(begun.identity_id)
        seconds = round(time.monotonic() - started, 3)
        done = replace(
            begun, backups_erased=erased, backups_unreachable=unreachable, seconds=seconds
        )
        receipt = sign_receipt(done, self._keys.signing_key)
        with transaction(self._db):
            record_erasure(self._db, receipt)
            self._rollback.note_erasure(receipt)
        self._rollback.note_end()
        empty_write_ahead_log(self._db)
        return receipt
