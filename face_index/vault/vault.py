"""The vault's owner: enrolments in, decisions on them, templates out, erasure for good.

It is long because whatever changes the vault does so in one place, under one lock and its transactions.
"""

from __future__ import annotations

import hmac
import json
import sqlite3
import time
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from filelock import FileLock
from sqlite_utils import Database

from face_index.consent import Consent, check_consent, consent_from_json
from face_index.errors import (
    ClockFarAhead,
    NameTaken,
    NotDecidable,
    SharedName,
    UnknownIdentity,
    VaultDamaged,
    VaultSetBack,
)
from face_index.faces.face import PackVersion, Prototypes
from face_index.identity import Identity, Proof, Status, proof_from_json
from face_index.vault.audit import AuditLog
from face_index.vault.backups import ERASURES_FILE, erase_from_backups
from face_index.vault.keys import KeyStore, new_key, seal, unseal
from face_index.vault.logins import Login, is_named, same_person, share_a_mark
from face_index.vault.receipts import (
    ErasureReceipt,
    public_fingerprint,
    receipt_of,
    record_erasure,
    sign_receipt,
    unfinished_erasures,
)
from face_index.vault.records import (
    IDENTITIES,
    DocumentRow,
    Submission,
    add_consent,
    adult_on,
    checked_name,
    empty_write_ahead_log,
    erase_rows,
    identity_of,
    keep_documents,
    keep_out,
    said,
    without_name,
)
from face_index.vault.schema import (
    TABLES_OF_A_PERSON,
    connect,
    fact,
    read_transaction,
    set_fact,
    transaction,
    unlock,
)
from face_index.vault.sealed_templates import read_templates, store_template
from face_index.vault.witness import END_FILE, REPAIRED, LogEnd, Testimony, Witnesses, testimony

# A vault in use is backed up daily: a longer silence is a clock that may be ahead, and erasing cannot be taken back.
QUIET_AT_MOST = timedelta(days=31)


class Vault:
    """The only writer of vault.db.

    Args:
        witnesses: folders outside vault.db that are compared with it (face_index.vault.witness), the first beside it; by
            default that one alone.
        any_thread: threads take turns, under a lock of the caller's.

    Attributes:
        is_new: it was made just now, by this process.
        testimony: what the witnesses said against it when it was opened.

    Raises:
        VaultDamaged: the file is not a sound vault; nothing was written.
        VaultLocked: the master key is missing or another vault's; nothing was written.
    """

    def __init__(
        self,
        path: Path,
        keys: KeyStore,
        *,
        witnesses: Sequence[Path] | None = None,
        any_thread: bool = False,
    ) -> None:
        self.path, self.keys = path, keys
        self._login: Login = ()
        self._register, self._register_at = "", -1
        folders = (path.parent,) if witnesses is None else witnesses
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Of several first processes one makes the tables and the master key; the others wait for both.
        with FileLock(path.with_suffix(".lock")):
            self.is_new = not path.exists()
            left = [
                folder / name
                for folder in folders
                for name in (ERASURES_FILE, END_FILE)
                if (folder / name).exists()
            ]
            if self.is_new and (keys.left_behind() or left):
                raise VaultDamaged(
                    f"there is no vault at {path}, but there was one: its key or its record of erasures is still here "
                    f"({', '.join(map(str, left)) or keys.where}). Bring back the newest backup with "
                    "`portrait-scanner vault restore FILE`, or move what is left away to begin anew"
                )
            self.db: Database = connect(path, any_thread=any_thread)
            try:
                self.key = unlock(self.db, keys, not self.is_new, path.parent)
                self._inode = path.stat().st_ino
                self._witnesses = Witnesses(folders, self.keyed_digest("witness"))
                self.testimony = self._hear()
                for begun in unfinished_erasures(self.db):
                    self._finish_erasure(begun)
            except BaseException:
                self.db.close()
                raise

    def close(self) -> None:
        with suppress(sqlite3.Error, OSError):  # a witness that lags is none that lies
            self._note_end()
        self.db.close()

    def _hear(self) -> Testimony:
        """Compare the witnesses with the vault, keep out whom they name, and begin those that are new."""
        erased = frozenset(
            row["identity_id"] for row in self.db.query("select identity_id from erasures")
        )
        folders = len(self._witnesses.folders)
        begun = int(fact(self.db, "witnesses") or b"0")
        told = testimony(
            self._witnesses, self.audit, erased, self.fingerprint, all_begun=begun >= folders
        )
        keep_out(self.db, [one.identity_id for one in told.erased])
        if not told.problems:
            self.testimony = told
            if begun < folders:
                self._begin_witnesses()
            self._note_end()
        return told

    def _begin_witnesses(self) -> None:
        receipts = [receipt_of(json.loads(row["receipt"])) for row in self.erasures()]
        self._witnesses.begin([one for one in receipts if one.signature])
        with transaction(self.db):
            set_fact(self.db, "witnesses", str(len(self._witnesses.folders)).encode())

    def _note_end(self) -> None:
        """Write down outside how far the log has come; not while the witnesses contradict, nor for a file that was replaced."""
        if not self.testimony.problems and self.path.stat().st_ino == self._inode:
            self._witnesses.note_end(
                LogEnd(*self.audit.end, self.gallery_version, self.erasure_count)
            )

    def repair(self, actor: str, now: datetime, reason: str) -> list[str]:
        """After an older copy was put in this file's place: erase again whom the witnesses name, and go on from here.

        Who did it, and why, stays in the log. Returns the ids that were erased again; raises VaultSetBack where
        receipts are missing.
        """
        words, told = said(reason, "a reason"), self.testimony
        self._must_know_who_was_erased()
        with transaction(self.db):
            for receipt in told.erased:
                record_erasure(self.db, receipt)
            again = self.erased_with_rows()
            for identity_id in again:
                erase_rows(self.db, identity_id)
            newest = max([self.gallery_version, *(end.gallery_version for end in told.ends)])
            set_fact(self.db, "gallery_version", str(newest + 1).encode())
            self.audit.append(
                REPAIRED, "vault", actor, now, reason=words, problems=told.problems,
                erased_again=again, witnessed=[end.sha256 for end in told.ends],
            )  # fmt: skip
        for identity_id in again:
            erase_from_backups(self.db, self.path.parent, identity_id)
        empty_write_ahead_log(self.db)
        self._begin_witnesses()
        self._witnesses.note_end(LogEnd(*self.audit.end, self.gallery_version, self.erasure_count))
        self.testimony = self._hear()
        return again

    @property
    def erasure_count(self) -> int:
        """How many people were erased."""
        return int(self.db.table("erasures").count)

    def _must_know_who_was_erased(self) -> None:
        """Raise VaultSetBack where somebody was erased whom nobody can name: they may be among those who are searched."""
        if self.testimony.unnamed:
            raise VaultSetBack(self.testimony.unnamed)

    def erased_with_rows(self) -> list[str]:
        """Ids of those who were erased, by the vault's own word, and of whom somebody put rows in again."""
        found = set[str]()
        for table in TABLES_OF_A_PERSON:
            query = f"select distinct identity_id from {table} where identity_id in (select identity_id from erasures)"
            found |= {row["identity_id"] for row in self.db.query(query)}
        return sorted(found)

    @cached_property
    def audit(self) -> AuditLog:
        log = AuditLog(self.db, self._audit_key)
        log.login = self._login
        return log

    @property
    def login(self) -> Login:
        """Who is logged in; recorded with everything that is done, and compared where two people are needed."""
        return self._login

    @login.setter
    def login(self, login: Login) -> None:
        self._login = login
        if "audit" in self.__dict__:
            self.audit.login = login

    @property
    def _audit_key(self) -> bytes:
        return unseal(self.key, fact(self.db, "audit_key") or b"", "audit_key")

    def keyed_digest(self, purpose: str) -> Callable[[bytes], str]:
        """HMAC-SHA256, lower-case hex, with a key for that purpose that only this vault has; it outlives key rotation."""
        key = hmac.digest(self._audit_key, purpose.encode(), "sha256")
        return lambda message: hmac.digest(key, message, "sha256").hex()

    @property
    def fingerprint(self) -> str:
        """Of the key that signs erasure receipts."""
        return public_fingerprint(self._signing_key)

    @property
    def _signing_key(self) -> bytes:
        return unseal(self.key, fact(self.db, "signing_key") or b"", "signing_key")

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Ed25519 signature (64 bytes) and raw public key (32 bytes) of this installation, whose `fingerprint` is published."""
        key = Ed25519PrivateKey.from_private_bytes(self._signing_key)
        return key.sign(message), key.public_key().public_bytes_raw()

    def note(self, event: str, subject: str, actor: str, now: datetime, **details: Any) -> None:
        """Add a line to the audit log about something done outside the vault; raises ClockWentBackwards."""
        with transaction(self.db):
            self.audit.append(event, subject, actor, now, **details)

    @property
    def gallery_version(self) -> int:
        """Rises whenever somebody enters or leaves the gallery, or their template changes."""
        return int(fact(self.db, "gallery_version") or b"0")

    def submit(self, submission: Submission, now: datetime) -> Identity:
        """Store an enrolment that waits for an operator; all of it or nothing.

        Raises:
            ConsentMissing: the consent does not cover today, or a guardian is needed.
            NameTaken: an identity of that name or reference exists.
            NameRefused: a name or reference that could not tell people apart.
        """
        check_consent(submission.consent, submission.born_on, now.date())
        submission = replace(
            submission,
            name=checked_name(submission.name),
            reference=checked_name(submission.reference, "reference")
            if submission.reference
            else None,
            submitted_by=said(submission.submitted_by, "who submits"),
        )
        identity_id, data_key = uuid.uuid4().hex, new_key()
        with transaction(self.db):
            self._must_be_new(submission)
            self.db.table("identities").insert(
                {
                    "identity_id": identity_id, "name": submission.name, "reference": submission.reference,
                    "status": str(Status.CONFLICT if submission.lookalikes else Status.PENDING),
                    "data_key": seal(self.key, data_key, identity_id), "photo_count": submission.photo_count,
                    "photos_kept": int(bool(submission.photos)), "submitted_at": now.isoformat(),
                    "submitted_by": submission.submitted_by, "decided_by": None,
                    "adult_on": adult_on(submission.born_on, now.date()),
                }
            )  # fmt: skip
            add_consent(self.db, identity_id, submission.consent)
            self.db.table("photos").insert_all(
                {
                    "photo_id": uuid.uuid4().hex,
                    "identity_id": identity_id,
                    "sealed": seal(data_key, photo, identity_id),
                }
                for photo in submission.photos
            )
            store_template(
                self.db, identity_id, data_key, submission.prototypes, submission.version
            )
            keep_documents(self.db, identity_id, data_key, submission.documents)
            for other_id, score in submission.lookalikes:
                self.db.table("conflicts").insert(
                    {"identity_id": identity_id, "other_id": other_id, "score": score}
                )
            # Whoever registers themselves must not stay in the log by name.
            by = without_name(submission.submitted_by, self.find(identity_id))
            self.audit.append(
                "submitted", identity_id, by, now,
                photos=submission.photo_count, signatory=submission.consent.signatory,
                consent_text=submission.consent.text_version, document_sha256=submission.consent.document_sha256,
                documents=[one.kind for one in submission.documents],
                pack_sha256=submission.version.sha256,
            )  # fmt: skip
        return self.find(identity_id)

    def approve(
        self,
        name_or_id: str,
        operator: str,
        proof: Proof,
        now: datetime,
        reason: str = "",
        *,
        two_people: bool = True,
    ) -> Identity:
        """Let a person into the gallery, once an operator has seen who they are.

        Args:
            reason: needed where the person looks like someone registered under another name.
            two_people: False where somebody works alone: the login that submitted may approve, and the log says so.

        Raises:
            NotDecidable: already decided, decided by the submitter, or a look-alike or namesake without a reason.
        """
        with transaction(self.db):
            identity = self.find(name_or_id)
            if identity.status not in (Status.PENDING, Status.CONFLICT):
                raise NotDecidable(f"{identity.name} is {identity.status} already")
            same, alone = (
                same_person(operator, identity.submitted_by),
                self._is_submitters(identity, operator),
            )
            if same and two_people:
                raise NotDecidable(
                    f"{operator} submitted {identity.name} and cannot approve as well; another operator must"
                )
            if alone and two_people:
                raise NotDecidable(
                    f"{identity.name} was submitted from this login, or by whom it belongs to, under whatever name: another operator "
                    "must approve from a login of their own. Whoever works alone sets two_people = false (docs/face_index.md)"
                )
            said(operator, "who approves")
            said(proof.kind, "what was seen as proof")
            others = [other for other, _ in self.lookalikes_of(identity.identity_id)]
            alike = ", ".join(other.name for other in others)
            if alike and not reason.strip():
                raise NotDecidable(
                    f"{identity.name} looks like {alike}, registered already; find out who is "
                    "who, then approve with --reason, or reject"
                )
            if self.namesakes_of(identity) and not reason.strip():
                raise NotDecidable(
                    f"somebody else called {identity.name} is registered; find out whether they are two, then approve with "
                    "--reason, or reject"
                )
            data_key = self._data_key(identity.identity_id)
            self.db.table("proofs").insert(
                {
                    "proof_id": uuid.uuid4().hex, "identity_id": identity.identity_id,
                    "sealed": seal(data_key, proof.to_json().encode(), identity.identity_id),
                }
            )  # fmt: skip
            # Copies of papers are there to be looked at once; what stays is what they were, and their hash.
            self.db.conn.execute(
                "delete from documents where identity_id = ?", [identity.identity_id]
            )
            self.db.table("identities").update(
                identity.identity_id, {"status": str(Status.ACTIVE), "decided_by": operator}
            )
            self._bump_gallery()
            self.audit.append(
                "approved", identity.identity_id, operator, now,
                document_sha256=proof.document_sha256, reason=without_name(reason, identity),
                lookalikes=[other.identity_id for other in others],
                **({"two_people": "off: who submitted approved"} if same or alone else {}),
            )  # fmt: skip
        return self.find(identity.identity_id)

    def _is_submitters(self, identity: Identity, operator: str) -> bool:
        """Whether the present login, or whom it is said to be, brought a person in; the audit log knows from where."""
        entries = [
            one for one in self.audit.about(identity.identity_id) if one.event == "submitted"
        ]
        brought_from = entries[-1].details.get("login", ()) if entries else ()
        named = is_named(brought_from, operator) or is_named(self.login, identity.submitted_by)
        return named or share_a_mark(brought_from, self.login)

    def reject(self, name_or_id: str, operator: str, reason: str, now: datetime) -> ErasureReceipt:
        """Refuse an enrolment that was not approved: everything of it is erased, the reason stays."""
        identity = self.find(name_or_id)
        if identity.status == Status.ACTIVE:
            raise NotDecidable(
                f"{identity.name} is active; `portrait-scanner withdraw` erases a registered person"
            )
        said(operator, "who rejects")
        words = without_name(said(reason, "why"), identity)
        return self._erase(identity.identity_id, "rejected", operator, now, reason=words)

    def withdraw(
        self, name_or_id: str, now: datetime, actor: str, why: str = "withdrawn"
    ) -> ErasureReceipt:
        """Erase a person here and in every backup the program made; the signed fact and date stay."""
        return self._erase(self.find(name_or_id).identity_id, why, actor, now)

    def withdraw_ended(
        self, now: datetime, actor: str, *, clock_is_right: bool = False
    ) -> list[ErasureReceipt]:
        """Erase everybody whose consent has ended.

        Args:
            clock_is_right: somebody looked, although nothing was written for longer than QUIET_AT_MOST.

        Raises:
            ClockFarAhead: nobody was erased.
        """
        ended = [one for one in self.identities() if one.consent.expires_on < now.date()]
        if (
            ended
            and not clock_is_right
            and (silent_for := self.audit.silent_for(now)) > QUIET_AT_MOST
        ):
            raise ClockFarAhead(now, silent_for)
        return [self.withdraw(one.identity_id, now, actor, "consent ended") for one in ended]

    def accept_clock(self, actor: str, now: datetime, reason: str) -> bool:
        """Go on after the clock had been ahead (AuditLog.accept_clock); raises NotDecidable without a reason."""
        words = said(reason, "a reason")
        with transaction(self.db):
            return self.audit.accept_clock(actor, now, words)

    def renew(self, name_or_id: str, consent: Consent, actor: str, now: datetime) -> Identity:
        """Record a newer consent, with other dates or terms; the older ones stay beside it."""
        with transaction(self.db):
            identity = self.find(name_or_id)
            check_consent(consent, None, now.date())
            add_consent(self.db, identity.identity_id, consent)
            self._bump_gallery()
            self.audit.append(
                "consent renewed", identity.identity_id, actor, now,
                expires_on=consent.expires_on, terms=consent.terms, document_sha256=consent.document_sha256,
            )  # fmt: skip
        return self.find(identity.identity_id)

    def count(self) -> int:
        """How many persons are stored, whatever their status."""
        return int(self.db.table("identities").count)

    def identities(self) -> list[Identity]:
        """Everyone stored, by name."""
        return [identity_of(row) for row in self.db.query(IDENTITIES + " order by i.name")]

    def minors(self, day: date) -> list[Identity]:
        """Everyone registered, or waiting for approval, who is under age on that day."""
        rows = self.db.query(IDENTITIES + " where i.adult_on > ?", [day.isoformat()])
        return [one for one in map(identity_of, rows) if one.consent.covers(day)]

    @property
    def register_state(self) -> str:
        """Changes whenever somebody is submitted, enters or leaves; cheap, since it is asked for each file of a scan."""
        [(entries,)] = self.db.execute("select max(entry) from audit").fetchall()
        if self._register_at != entries:  # whatever happens to a person is in the log
            [(count, newest)] = self.db.execute(
                "select count(*), max(submitted_at) from identities"
            ).fetchall()
            self._register_at, self._register = entries, f"{self.gallery_version} {count} {newest}"
        return self._register

    def find(self, name_or_id: str) -> Identity:
        """The identity of that name, reference, id or beginning of an id (8 digits); raises UnknownIdentity, SharedName."""
        wanted = unicodedata.normalize("NFC", name_or_id).strip()
        exact = " where i.name = :w or i.reference = :w or i.identity_id = :w"
        beginning = " where length(:w) >= 8 and substr(i.identity_id, 1, length(:w)) = :w"
        for query in (exact, beginning):
            found = list(self.db.query(IDENTITIES + query, {"w": wanted}))
            if len(found) == 1:
                return identity_of(found[0])
            if found:
                raise SharedName(wanted, [row["identity_id"] for row in found])
        raise UnknownIdentity(name_or_id)

    def consents_of(self, identity_id: str) -> list[Consent]:
        """All receipts, oldest first."""
        rows = self.db.table("consents").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [consent_from_json(row["record"]) for row in rows]

    def proofs_of(self, identity_id: str) -> list[Proof]:
        data_key = self._data_key(identity_id)
        rows = self.db.table("proofs").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [
            proof_from_json(unseal(data_key, row["sealed"], identity_id).decode()) for row in rows
        ]

    def documents_of(self, identity_id: str) -> list[DocumentRow]:
        """Copies of papers that wait to be looked at: what they are and their SHA-256, not their content."""
        rows = self.db.table("documents").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [DocumentRow(row["document_id"], row["kind"], row["sha256"]) for row in rows]

    def read_document(self, identity_id: str, document_id: str, actor: str, now: datetime) -> bytes:
        """A copy's bytes; who read it is in the log. Raises UnknownIdentity."""
        with transaction(self.db):
            row = self.db.execute(
                "select sealed, sha256 from documents where identity_id = ? and document_id = ?",
                [identity_id, document_id],
            ).fetchone()
            if row is None:
                raise UnknownIdentity(document_id, "document")
            self.audit.append("document read", identity_id, actor, now, document_sha256=row[1])
        return unseal(self._data_key(identity_id), row[0], identity_id)

    def show_photos(self, identity_id: str, actor: str, now: datetime) -> list[bytes]:
        """The kept image files for somebody to look at; who did is in the log."""
        photos = self.photos_of(identity_id)
        self.note("photos shown", identity_id, actor, now, photos=len(photos))
        return photos

    def lookalikes_of(self, identity_id: str) -> list[tuple[Identity, float]]:
        """Registered people that this one looks like, as found at enrolment."""
        rows = self.db.table("conflicts").rows_where(
            "identity_id = ?", [identity_id], order_by="score desc"
        )
        found = []
        for row in rows:
            with suppress(UnknownIdentity):  # who is kept out looks like nobody
                found.append((self.find(row["other_id"]), row["score"]))
        return found

    def namesakes_of(self, identity: Identity) -> list[Identity]:
        """Everyone else who is called the same."""
        query = IDENTITIES + " where i.name = ? and i.identity_id <> ? order by i.submitted_at"
        return [
            identity_of(row) for row in self.db.query(query, [identity.name, identity.identity_id])
        ]

    def active_templates(self, version: PackVersion, day: date) -> list[tuple[str, Prototypes]]:
        """Identity id and prototypes of every adult who may be searched on that day with that pack."""
        return list(read_templates(self.db, self.key, version, searchable_on=day))

    def gallery_on(
        self, version: PackVersion, day: date
    ) -> tuple[int, list[tuple[str, Prototypes]]]:
        """The gallery's version and its active templates, read as one state of the vault."""
        self._must_know_who_was_erased()
        with read_transaction(self.db):
            return self.gallery_version, self.active_templates(version, day)

    def all_templates(self, version: PackVersion) -> list[tuple[str, Prototypes]]:
        """Of everyone stored, waiting and expired ones too: to notice a person who comes twice."""
        return list(read_templates(self.db, self.key, version, searchable_on=None))

    def template_count(self, version: PackVersion) -> int:
        """How many people have a template of that pack."""
        return int(self.db.table("templates").count_where("pack_sha256 = ?", [version.sha256]))

    def photos_of(self, identity_id: str) -> list[bytes]:
        """The kept image files, opened."""
        data_key = self._data_key(identity_id)
        rows = self.db.table("photos").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [unseal(data_key, row["sealed"], identity_id) for row in rows]

    def replace_template(
        self,
        identity_id: str,
        prototypes: Prototypes,
        version: PackVersion,
        actor: str,
        now: datetime,
    ) -> None:
        """Store the template of another pack and destroy those of the packs before it."""
        with transaction(self.db):
            self.db.conn.execute("delete from templates where identity_id = ?", [identity_id])
            store_template(self.db, identity_id, self._data_key(identity_id), prototypes, version)
            self._bump_gallery()
            self.audit.append("embedded again", identity_id, actor, now, pack_sha256=version.sha256)

    def without_template(self, version: PackVersion) -> list[Identity]:
        """Everyone who has no template of that pack."""
        query = (
            " where i.identity_id not in (select identity_id from templates where pack_sha256 = ?)"
        )
        return [
            identity_of(row)
            for row in self.db.query(IDENTITIES + query + " order by i.name", [version.sha256])
        ]

    def erasures(self) -> list[dict[str, Any]]:
        """Who was erased: id, time and signed receipt."""
        return list(self.db.table("erasures").rows_where(order_by="erased_at"))

    def _must_be_new(self, submission: Submission) -> None:
        must_differ = [("reference", submission.reference)]
        if not submission.shares_name:
            must_differ.append(("name", submission.name))
        for what, text in must_differ:
            # Either may be given to find a person, so neither may be another's of the other kind.
            if text and any(
                self.db.table("identities").rows_where(
                    "name = :w or reference = :w", {"w": text}, limit=1
                )
            ):
                raise NameTaken(
                    f"{what} {text!r} is already registered; withdraw it first or choose another"
                )

    def _data_key(self, identity_id: str) -> bytes:
        row = self.db.execute(
            "select data_key from identities where identity_id = ?", [identity_id]
        ).fetchone()
        return unseal(self.key, row[0], identity_id)

    def _bump_gallery(self) -> None:
        set_fact(self.db, "gallery_version", str(self.gallery_version + 1).encode())

    def _erase(
        self, identity_id: str, why: str, actor: str, now: datetime, **details: Any
    ) -> ErasureReceipt:
        with transaction(self.db):
            self.find(
                identity_id
            )  # of two that erase at once, the second finds nobody and spoils no receipt
            counts = erase_rows(self.db, identity_id)
            self._bump_gallery()
            self.audit.append(f"erased: {why}", identity_id, actor, now, **counts, **details)
            begun = ErasureReceipt(
                identity_id, now.isoformat(), why, counts["photos"], counts["templates"]
            )
            record_erasure(self.db, begun)
        return self._finish_erasure(begun)

    def _finish_erasure(self, begun: ErasureReceipt) -> ErasureReceipt:
        """Go through backups and write-ahead log, and sign. Until it is signed, every opening begins here again."""
        started = time.monotonic()
        erased, unreachable = erase_from_backups(self.db, self.path.parent, begun.identity_id)
        seconds = round(time.monotonic() - started, 3)
        done = replace(
            begun, backups_erased=erased, backups_unreachable=unreachable, seconds=seconds
        )
        receipt = sign_receipt(done, self._signing_key)
        with transaction(self.db):
            record_erasure(self.db, receipt)
            self._witnesses.note_erasure(receipt)
        self._note_end()
        empty_write_ahead_log(self.db)
        return receipt
