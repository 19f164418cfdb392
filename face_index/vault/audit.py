"""An append-only log in which every entry carries the hash of the entry before it.

Entries are authenticated with an HMAC-SHA256 key of the vault: a person who can write the file but
has no key can neither change an entry nor add one. Triggers refuse changes made through SQLite. The
hash of the newest entry is sealed beside the log, so that a log whose end was cut off is noticed.
A whole file that was replaced by an older copy is noticed only with a hash noted elsewhere
(`AuditLog.problems(expected_head=...)`, face_index.vault.witness).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from face_index.errors import ClockWentBackwards, VaultLocked
from face_index.vault.database import transaction
from face_index.vault.keys import seal, unseal
from face_index.vault.logins import Login
from face_index.vault.names import required_text

# Time servers set clocks back by a second or two; a larger step is a wrong clock.
CLOCK_TOLERANCE = timedelta(seconds=5)
_HEAD = "audit_head"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the log.

    Attributes:
        number: Counts from 1, without gaps.
        at: UTC, ISO 8601.
        actor: Who did it, under the name they gave.
        event: What was done.
        subject: Opaque identity id, or "vault".
        details: Facts, never a name, a photo or a vector.
        sha256: HMAC over this entry and the hash of the entry before.
    """

    number: int
    at: str
    actor: str
    event: str
    subject: str
    details: dict[str, Any]
    sha256: str


class AuditLog:
    """The audit log of one vault.

    Attributes:
        login: Who is logged in, as the operating system or the web pages know it. Every entry
            written from now on names it, whatever name the actor gave.
    """

    def __init__(self, db: Database, key: bytes) -> None:
        self._db, self._key = db, key
        self.login: Login = ()

    def append(self, event: str, subject: str, actor: str, now: datetime, **details: Any) -> None:
        """Add an entry. Call this inside the transaction of what it records.

        Raises:
            ClockWentBackwards: The newest entry is later than `now`; nothing is written.
        """
        last = self._newest()
        if last and _is_later(last, now):
            raise ClockWentBackwards(now, last.at)
        self._write(last, event, subject, actor, now, details)

    def record(self, event: str, subject: str, actor: str, now: datetime, **details: Any) -> None:
        """Add an entry about something done outside the vault, in a transaction of its own.

        Raises:
            ClockWentBackwards: The newest entry is later than `now`; nothing is written.
        """
        with transaction(self._db):
            self.append(event, subject, actor, now, **details)

    def accept_clock(self, actor: str, now: datetime, reason: str) -> bool:
        """Record that the clock had been ahead, so that entries can be added from `now` on.

        Returns:
            False if the newest entry is not later than `now`; nothing is written then.

        Raises:
            NotDecidable: The reason is blank.
        """
        reason = required_text(reason, "a reason")
        with transaction(self._db):
            last = self._newest()
            if last is None or not _is_later(last, now):
                return False
            details = {"was": last.at, "reason": reason}
            self._write(last, "clock-accepted", "vault", actor, now, details)
            return True

    def silent_for(self, now: datetime) -> timedelta:
        """Return the age of the newest entry."""
        last = self._newest()
        return now - datetime.fromisoformat(last.at) if last else timedelta(0)

    def entries(self, newest_first: bool = False) -> Iterator[AuditEntry]:
        """Yield all entries in order."""
        yield from map(_entry_from, self._rows("entry desc" if newest_first else "entry"))

    def about(self, subject: str) -> Iterator[AuditEntry]:
        """Yield the entries about one identity, or about the vault, in order."""
        rows = self._db.table("audit").rows_where("subject = ?", [subject], order_by="entry")
        yield from map(_entry_from, rows)

    def about_captures(self, capture_ids: Collection[str] | None) -> Iterator[AuditEntry]:
        """Yield the entries about captures, by default about all, in order."""
        where = (
            "subject = 'vault' and details ->> '$.capture' is not null "
            "and (:ids is null or details ->> '$.capture' in (select value from json_each(:ids)))"
        )
        ids = None if capture_ids is None else json.dumps(sorted(capture_ids))
        rows = self._db.table("audit").rows_where(where, {"ids": ids}, order_by="entry")
        yield from map(_entry_from, rows)

    def vouched_about(self, subject: str, case_id: str | None = None) -> Iterator[AuditEntry]:
        """Yield the entries about an identity, or one of their cases, that this vault wrote.

        Entries that were altered or inserted by somebody else are left out. Whether an entry is
        missing is found by `problems`.
        """
        where = "subject = :subject and (:case is null or details ->> '$.case' = :case)"
        values = {"subject": subject, "case": case_id}
        for row in self._db.table("audit").rows_where(where, values, order_by="entry"):
            if hmac.compare_digest(row["sha256"], self._hash(row)):
                yield _entry_from(row)

    def found(
        self,
        *,
        actor: str = "",
        event: str = "",
        subject: str = "",
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return entries by actor, beginning of the event and of the subject, newest first.

        Args:
            before: Only entries with a smaller number, for the next page.
        """
        where = (
            "(:actor = '' or actor = :actor) and substr(event, 1, length(:event)) = :event"
            " and substr(subject, 1, length(:subject)) = :subject"
            " and (:before is null or entry < :before)"
        )
        values = {"actor": actor, "event": event, "subject": subject, "before": before}
        rows = self._db.table("audit").rows_where(where, values, order_by="entry desc", limit=limit)
        return [_entry_from(row) for row in rows]

    def problems(self, expected_head: str | None = None) -> list[str]:
        """Return what is wrong with the log, in sentences; empty if the log is whole.

        Args:
            expected_head: Hash of an entry that was noted earlier, outside this machine.
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
                "the log does not end where the vault says it ends: "
                f"entries after {number} were cut off"
            )
        if expected_head and expected_head not in seen:
            found.append(
                f"the noted entry {expected_head[:16]} is not in the log: "
                "an older copy was put in its place"
            )
        return found

    def has(self, number: int, sha256: str) -> bool:
        """Whether the log contains that entry."""
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
        """Hash of the newest entry, "" in an empty log. Note it outside this machine."""
        return self.end[1]

    def _newest(self) -> AuditEntry | None:
        return next(self.entries(newest_first=True), None)

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
            "entry": number,
            "at": now.isoformat(),
            "actor": actor,
            "event": event,
            "subject": subject,
            "details": json.dumps(details, ensure_ascii=False, sort_keys=True, default=str),
            "previous": previous,
        }
        sha256 = self._hash(row)
        self._db.table("audit").insert({**row, "sha256": sha256})
        head = seal(self._key, f"{number} {sha256}".encode(), _HEAD)
        self._db.table("vault_facts").upsert({"name": _HEAD, "value": head}, pk="name")

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
        message = json.dumps(fields, ensure_ascii=False).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _is_later(entry: AuditEntry, now: datetime) -> bool:
    return now < datetime.fromisoformat(entry.at) - CLOCK_TOLERANCE


def _entry_from(row: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
        row["entry"],
        row["at"],
        row["actor"],
        row["event"],
        row["subject"],
        json.loads(row["details"]),
        row["sha256"],
    )
