"""An append-only log in which every entry carries the hash of the one before it.

Entries are authenticated with a key of the vault's (HMAC-SHA256), so that whoever can write the file
but has no key can neither change an entry nor add one; triggers refuse changes from inside SQLite. The
newest entry's hash is sealed beside the log, so that cutting off its end shows as well. Someone who puts
back an older copy of the whole file is caught only by a hash noted elsewhere (`verify(expected=...)`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from face_index.errors import ClockWentBackwards, VaultLocked
from face_index.vault.keys import seal, unseal
from face_index.vault.logins import Login

# Clocks are set back by a second or two by time servers; more than this is a wrong clock.
CLOCK_TOLERANCE = timedelta(seconds=5)
_HEAD = "audit_head"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log.

    Attributes:
        number: from 1, without gaps.
        at: UTC, ISO 8601.
        actor: who did it, as they named themselves.
        event: what was done.
        subject: opaque identity id, or "vault".
        details: facts, never a name, a photo or a vector.
        sha256: HMAC over this entry and the one before.
    """

    number: int
    at: str
    actor: str
    event: str
    subject: str
    details: dict[str, Any]
    sha256: str


class AuditLog:
    """The log in one database; `append` belongs inside the transaction of what it records.

    Attributes:
        login: who is logged in, whoever they say they are; in every entry that is written from now on.
    """

    def __init__(self, db: Database, key: bytes) -> None:
        self._db, self._key = db, key
        self.login: Login = ()

    def append(self, event: str, subject: str, actor: str, now: datetime, **details: Any) -> None:
        """Add an entry.

        Raises:
            ClockWentBackwards: the newest entry lies in the future of `now`; nothing is written.
        """
        last = self._newest()
        if last and _lies_ahead(last, now):
            raise ClockWentBackwards(now, last.at)
        self._write(last, event, subject, actor, now, details)

    def accept_clock(self, actor: str, now: datetime, reason: str) -> bool:
        """Say in the log that the clock had been ahead, and go on from `now`; False where the log does not lie ahead."""
        last = self._newest()
        if last is None or not _lies_ahead(last, now):
            return False
        self._write(last, "clock-accepted", "vault", actor, now, {"was": last.at, "reason": reason})
        return True

    def silent_for(self, now: datetime) -> timedelta:
        """How long ago the newest entry was written, by this clock."""
        last = self._newest()
        return now - datetime.fromisoformat(last.at) if last else timedelta(0)

    def _newest(self) -> AuditEntry | None:
        return next(iter(self.entries(newest_first=True)), None)

    def _write(
        self,
        last: AuditEntry | None,
        event: str,
        subject: str,
        actor: str,
        now: datetime,
        details: dict[str, Any],
    ) -> None:
        number, previous = (last.number + 1, last.sha256) if last else (1, "")
        details = {**details, "login": list(self.login)} if self.login else details
        row = {
            "entry": number, "at": now.isoformat(), "actor": actor, "event": event, "subject": subject,
            "details": json.dumps(details, ensure_ascii=False, sort_keys=True, default=str), "previous": previous,
        }  # fmt: skip
        sha256 = self._hash(row)
        self._db.table("audit").insert({**row, "sha256": sha256})
        head = seal(self._key, f"{number} {sha256}".encode(), _HEAD)
        self._db.table("vault_facts").upsert({"name": _HEAD, "value": head}, pk="name")

    def entries(self, newest_first: bool = False) -> Iterator[AuditEntry]:
        """All entries in order."""
        yield from map(_entry, self._rows("entry desc" if newest_first else "entry"))

    def about(self, subject: str) -> Iterator[AuditEntry]:
        """Entries about one identity, or about the vault, in order."""
        yield from map(
            _entry, self._db.table("audit").rows_where("subject = ?", [subject], order_by="entry")
        )

    def vouched_about(self, subject: str, case_id: str | None = None) -> Iterator[AuditEntry]:
        """Entries about one identity, or one case of theirs, that this vault wrote: none that was changed or put in.

        That none is missing is told by `problems`.
        """
        where = "subject = :subject and (:case is null or details ->> '$.case' = :case)"
        for row in self._db.table("audit").rows_where(
            where, {"subject": subject, "case": case_id}, order_by="entry"
        ):
            if hmac.compare_digest(row["sha256"], self._hash(row)):
                yield _entry(row)

    def found(
        self,
        *,
        actor: str = "",
        event: str = "",
        subject: str = "",
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Entries by actor, beginning of the event and beginning of the subject, newest first.

        Args:
            before: only entries with a smaller number, for the page after.
        """
        where = "(:actor = '' or actor = :actor) and substr(event, 1, length(:event)) = :event"
        where += " and substr(subject, 1, length(:subject)) = :subject and (:before is null or entry < :before)"
        values = {"actor": actor, "event": event, "subject": subject, "before": before}
        return [
            _entry(row)
            for row in self._db.table("audit").rows_where(
                where, values, order_by="entry desc", limit=limit
            )
        ]

    def problems(self, expected_head: str | None = None) -> list[str]:
        """What is wrong with the log, in sentences; empty if nothing is.

        Args:
            expected_head: hash of an entry noted earlier, outside this machine.
        """
        found, previous, number, seen = [], "", 0, set()
        for row in self._rows("entry"):
            number += 1
            if row["entry"] != number:
                found.append(f"entry {number} is missing: the next one there is {row['entry']}")
                number = row["entry"]
            if row["previous"] != previous:
                found.append(f"entry {number} does not follow the one before it")
            if not hmac.compare_digest(row["sha256"], self._hash(row)):
                found.append(f"entry {number} was altered")
            previous = row["sha256"]
            seen.add(previous)
        if self._sealed_head() != (f"{number} {previous}" if number else None):
            found.append(
                f"the log does not end where the vault says it ends: entries after {number} were cut off"
            )
        if expected_head and expected_head not in seen:
            found.append(
                f"the noted entry {expected_head[:16]} is not in the log: an older copy was put in its place"
            )
        return found

    def has(self, number: int, sha256: str) -> bool:
        """Whether the log goes through that entry."""
        return bool(
            self._db.table("audit").count_where("entry = ? and sha256 = ?", [number, sha256])
        )

    @property
    def end(self) -> tuple[int, str]:
        """Number and hash of the newest entry; 0 and "" in an empty log."""
        last = self._newest()
        return (last.number, last.sha256) if last else (0, "")

    @property
    def head(self) -> str:
        """Hash of the newest entry, "" in an empty log: note it elsewhere."""
        return next((entry.sha256 for entry in self.entries(newest_first=True)), "")

    def _rows(self, order: str) -> Iterator[dict[str, Any]]:
        yield from self._db.table("audit").rows_where(order_by=order)

    def _sealed_head(self) -> str | None:
        for row in self._db.table("vault_facts").rows_where("name = ?", [_HEAD]):
            try:
                return unseal(self._key, row["value"], _HEAD).decode()
            except VaultLocked:
                return "unreadable"
        return None

    def _hash(self, row: dict[str, Any]) -> str:
        fields = [
            row[name]
            for name in ("entry", "at", "actor", "event", "subject", "details", "previous")
        ]
        return hmac.new(
            self._key, json.dumps(fields, ensure_ascii=False).encode(), hashlib.sha256
        ).hexdigest()


def _lies_ahead(entry: AuditEntry, now: datetime) -> bool:
    return now < datetime.fromisoformat(entry.at) - CLOCK_TOLERANCE


def _entry(row: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        row["entry"],
        row["at"],
        row["actor"],
        row["event"],
        row["subject"],
        json.loads(row["details"]),
        row["sha256"],
    )
