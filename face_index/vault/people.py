"""The registered people: finding and listing them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlite_utils import Database

from face_index.consent import consent_from_json
from face_index.errors import SharedName, UnknownIdentity
from face_index.identity import Identity, Status
from face_index.vault.gallery_version import gallery_version

# An erased person is never found, whatever rows an older copy of the file still has of them.
NOT_ERASED = (
    "i.identity_id not in (select identity_id from erasures "
    "union all select identity_id from temp.kept_out)"
)
_IDENTITIES = (
    "select i.*, c.record from identities i "
    f"join consents c on c.consent_id = i.consent_id and {NOT_ERASED}"
)


@dataclass(frozen=True, slots=True)
class PersonFilter:
    """Which people a list holds.

    Attributes:
        words: only those whose name, reference or id contains them, whatever their case.
        active: only those who are approved, or only those who are not.
        expires_by: only those whose consent ends on this day or before.
        submitted_since: only those who were submitted at this time or later.
    """

    words: str = ""
    active: bool | None = None
    expires_by: date | None = None
    submitted_since: datetime | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """Return SQL for the people of the list, and its values."""
        conditions, values = [NOT_ERASED], dict[str, Any]()
        if self.words:
            text = "i.name || ' ' || coalesce(i.reference, '') || ' ' || i.identity_id"
            conditions.append(f"instr(casefold({text}), :words) > 0")
            words = unicodedata.normalize("NFC", self.words)
            values["words"] = words.casefold().replace("\0", "")
        if self.active is not None:
            conditions.append(f"i.status {'=' if self.active else '<>'} :active")
            values["active"] = str(Status.ACTIVE)
        if self.expires_by is not None:
            conditions.append("c.expires_on <= :expires_by")
            values["expires_by"] = self.expires_by.isoformat()
        if self.submitted_since is not None:
            conditions.append("i.submitted_at >= :since")
            values["since"] = self.submitted_since.isoformat()
        return " and ".join(conditions), values


EVERYBODY = PersonFilter()


class People:
    """The table of identities of one vault, read only."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # SQLite's own `lower` knows ASCII only.
        db.conn.create_function("casefold", 1, str.casefold, deterministic=True)
        self._register_state, self._register_state_entry = "", -1

    def find(self, name_or_id: str) -> Identity:
        """Return the identity of that name, reference, id or beginning of an id (8 digits).

        Raises:
            UnknownIdentity: There is none.
            SharedName: There are several.
        """
        wanted = unicodedata.normalize("NFC", name_or_id).strip()
        exact = " where i.name = :w or i.reference = :w or i.identity_id = :w"
        beginning = " where length(:w) >= 8 and substr(i.identity_id, 1, length(:w)) = :w"
        for query in (exact, beginning):
            found = list(self._db.query(_IDENTITIES + query, {"w": wanted}))
            if len(found) == 1:
                return _identity_from(found[0])
            if found:
                raise SharedName(wanted, [row["identity_id"] for row in found])
        raise UnknownIdentity(name_or_id)

    def all(self) -> list[Identity]:
        """Return everyone stored, by name."""
        return self._select(" order by i.name")

    def page(
        self,
        wanted: PersonFilter = EVERYBODY,
        *,
        after: str | None = None,
        limit: int = -1,
    ) -> list[Identity]:
        """Return a page of people, by name.

        Args:
            after: id of the last person of the page before; an unknown one gives nobody.
            limit: -1 for everybody.
        """
        where, values = wanted.condition()
        if after is not None:
            where += (
                " and (i.name, i.identity_id) > (select name, identity_id from identities "
                "where identity_id = :after)"
            )
        values |= {"after": after, "limit": limit}
        query = f"{_IDENTITIES} where {where} order by i.name, i.identity_id limit :limit"
        return [_identity_from(row) for row in self._db.query(query, values)]

    def count(self, wanted: PersonFilter = EVERYBODY) -> int:
        """Return how many people a list holds."""
        where, values = wanted.condition()
        query = (
            "select count(*) from identities i join consents c on c.consent_id = i.consent_id "
            f"where {where}"
        )
        return int(self._db.execute(query, values).fetchone()[0])

    def registered_among(self, identity_ids: Iterable[str]) -> set[str]:
        """Return those of these ids that somebody stored has."""
        query = (
            "select i.identity_id from identities i where i.identity_id in "
            f"(select value from json_each(?)) and {NOT_ERASED}"
        )
        return {row[0] for row in self._db.execute(query, [json.dumps(list(identity_ids))])}

    def minors(self, day: date) -> list[Identity]:
        """Return everyone registered or waiting for approval who is under age on that day."""
        under_age = self._select(" where i.adult_on > ?", [day.isoformat()])
        return [identity for identity in under_age if identity.consent.covers(day)]

    def namesakes_of(self, identity: Identity) -> list[Identity]:
        """Return everyone else who has the same name."""
        return self._select(
            " where i.name = ? and i.identity_id <> ? order by i.submitted_at",
            [identity.name, identity.identity_id],
        )

    def lookalikes_of(self, identity_id: str) -> list[tuple[Identity, float]]:
        """Return the registered people that this person looks like, as found at enrolment."""
        rows = self._db.table("conflicts").rows_where(
            "identity_id = ?", [identity_id], order_by="score desc"
        )
        found = []
        for row in rows:
            with suppress(UnknownIdentity):  # the other one was erased in the meantime
                found.append((self.find(row["other_id"]), row["score"]))
        return found

    def without_template(self, pack_sha256: str) -> list[Identity]:
        """Return everyone who has no template of that face pack."""
        return self._select(
            " where i.identity_id not in (select identity_id from templates where pack_sha256 = ?)"
            " order by i.name",
            [pack_sha256],
        )

    def is_taken(self, text: str) -> bool:
        """Whether somebody has that name or reference."""
        rows = self._db.table("identities").rows_where(
            "name = :w or reference = :w", {"w": text}, limit=1
        )
        return any(rows)

    @property
    def register_state(self) -> str:
        """A text that changes whenever somebody is submitted, enters or leaves.

        It is cached, since a scan asks for it at each file.
        """
        [(newest_entry,)] = self._db.execute("select max(entry) from audit").fetchall()
        # Every change of a person adds an entry to the audit log.
        if self._register_state_entry != newest_entry:
            [(count, newest)] = self._db.execute(
                "select count(*), max(submitted_at) from identities"
            ).fetchall()
            self._register_state = f"{gallery_version(self._db)} {count} {newest}"
            self._register_state_entry = newest_entry
        return self._register_state

    def _select(self, condition: str, values: Iterable[str] = ()) -> list[Identity]:
        return [_identity_from(row) for row in self._db.query(_IDENTITIES + condition, [*values])]


def keep_out(db: Database, identity_ids: Iterable[str]) -> None:
    """Make this connection find none of these people. Every connection needs the table."""
    db.conn.execute("create temp table if not exists kept_out (identity_id text primary key)")
    db.conn.execute("delete from temp.kept_out")
    db.conn.executemany(
        "insert or ignore into temp.kept_out values (?)",
        [[identity_id] for identity_id in identity_ids],
    )
    db.conn.commit()


def _identity_from(row: dict[str, Any]) -> Identity:
    return Identity(
        identity_id=row["identity_id"],
        name=row["name"],
        consent=consent_from_json(row["record"]),
        photo_count=row["photo_count"],
        photos_kept=bool(row["photos_kept"]),
        submitted_at=datetime.fromisoformat(row["submitted_at"]),
        submitted_by=row["submitted_by"],
        status=Status(row["status"]),
        decided_by=row["decided_by"],
        adult_on=date.fromisoformat(row["adult_on"]) if row["adult_on"] else None,
        reference=row["reference"],
    )
