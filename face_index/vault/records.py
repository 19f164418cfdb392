"""A person on the way into the vault, out of it as a record, and off the disk."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import unicodedata
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlite_utils import Database

from face_index.consent import ADULT_YEARS, Consent, consent_from_json, is_minor
from face_index.errors import NameRefused, NotDecidable
from face_index.faces.face import PackVersion, Prototypes
from face_index.identity import Identity, Status
from face_index.vault.keys import seal
from face_index.vault.schema import TABLES_OF_A_PERSON

LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Document:
    """A copy of a paper that says who somebody is, or that another may act for them; kept sealed until it was looked at."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What is known of a kept copy without opening it."""

    document_id: str
    kind: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A person as they are brought in.

    Attributes:
        name: as results will call them.
        consent: signed today or earlier.
        prototypes: float32 [p, d], unit rows.
        version: the pack that made them.
        photos: the accepted image files' bytes; empty if they are not to be kept.
        photo_count: how many were accepted, kept or not.
        submitted_by: who brings them; may not approve.
        born_on: only used to know whether and until when a guardian is needed; not stored.
        reference: an agency's own number.
        lookalikes: identity ids and scores of registered people who look the same.
        documents: copies of papers for whoever decides.
        shares_name: another may have the name already.
    """

    name: str
    consent: Consent
    prototypes: Prototypes
    version: PackVersion
    photos: Sequence[bytes]
    photo_count: int
    submitted_by: str
    born_on: date | None = None
    reference: str | None = None
    lookalikes: Sequence[tuple[str, float]] = ()
    documents: Sequence[Document] = ()
    shares_name: bool = False


def keep_documents(
    db: Database, identity_id: str, data_key: bytes, documents: Sequence[Document]
) -> None:
    """Seal copies of papers; belongs inside a transaction."""
    db.table("documents").insert_all(
        {
            "document_id": uuid.uuid4().hex, "identity_id": identity_id, "kind": one.kind,
            "sha256": hashlib.sha256(one.data).hexdigest(), "sealed": seal(data_key, one.data, identity_id),
        }
        for one in documents
    )  # fmt: skip


def checked_name(text: str, what: str = "name") -> str:
    """A name or reference as it is stored: NFC, without outer blanks; raises NameRefused."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise NameRefused(f"an empty {what} cannot tell people apart")
    if len(name) > LONGEST_NAME:
        raise NameRefused(
            f"a {what} of {len(name):,} characters is too long; {LONGEST_NAME} are allowed"
        )
    if not name.isprintable():
        raise NameRefused(f"the {what} {name!r} holds signs that cannot be printed")
    if re.fullmatch(r"[0-9a-f]{32}", name):
        raise NameRefused(
            f"the {what} {name!r} could be taken for an id; add a letter after f, or a word"
        )
    return name


def said(text: str, what: str) -> str:
    """Text that must not be blank, because the record of a decision needs it; raises NotDecidable."""
    if not text.strip():
        raise NotDecidable(f"{what} must be said")
    return text.strip()


def without_name(text: str, identity: Identity) -> str:
    """An operator's words for the audit log, which outlives the person: their name does not belong in it."""
    words = [word for word in [*identity.name.split(), identity.reference or ""] if len(word) > 1]
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(re.escape(word), "[name]", text, flags=re.IGNORECASE)
    return text


def add_consent(db: Database, identity_id: str, consent: Consent) -> None:
    """Store a receipt beside the older ones; from now on it is the one that counts."""
    consent_id = uuid.uuid4().hex
    db.table("consents").insert(
        {
            "consent_id": consent_id, "identity_id": identity_id, "signed_on": consent.signed_on.isoformat(),
            "expires_on": consent.expires_on.isoformat(), "record": consent.to_json(),
        }
    )  # fmt: skip
    db.table("identities").update(identity_id, {"consent_id": consent_id})


def erase_rows(db: Database, identity_id: str) -> dict[str, int]:
    """Delete everything of a person; SQLite zeroes it (secure_delete). How many rows of each table."""
    counts = {
        table: db.conn.execute(f"delete from {table} where identity_id = ?", [identity_id]).rowcount
        for table in TABLES_OF_A_PERSON
    }
    db.conn.execute("delete from conflicts where other_id = ?", [identity_id])
    return counts


def empty_write_ahead_log(db: Database) -> None:
    """Move the log into the file and cut it to nothing, so that no older page survives in it."""
    [(busy, *_)] = db.conn.execute("pragma wal_checkpoint(truncate)").fetchall()
    if busy:
        raise sqlite3.OperationalError(
            "another program reads the vault, so its write-ahead log cannot be emptied; close it and run `vault check`"
        )


def adult_on(born_on: date | None, day: date) -> str | None:
    """The day on which someone who is under 18 comes of age, ISO 8601; None for an adult."""
    if born_on is None or not is_minor(born_on, day):
        return None
    year = born_on.year + ADULT_YEARS
    # Born on 29 February: of age on 1 March where the year has no such day.
    leap = (born_on.month, born_on.day) == (2, 29) and not (
        year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    )
    return (date(year, 3, 1) if leap else born_on.replace(year=year)).isoformat()


# Whoever was erased is nobody, whatever rows an older copy of the file still has of them.
NOT_ERASED = "i.identity_id not in (select identity_id from erasures union all select identity_id from temp.kept_out)"
IDENTITIES = f"select i.*, c.record from identities i join consents c on c.consent_id = i.consent_id and {NOT_ERASED}"


def keep_out(db: Database, identity_ids: Iterable[str]) -> None:
    """Have this connection find none of these people; every connection needs the table."""
    db.conn.execute("create temp table if not exists kept_out (identity_id text primary key)")
    db.conn.execute("delete from temp.kept_out")
    db.conn.executemany(
        "insert or ignore into temp.kept_out values (?)", [[one] for one in identity_ids]
    )
    db.conn.commit()


def identity_of(row: dict[str, Any]) -> Identity:
    """A row of IDENTITIES as a record."""
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
