"""Enrolments: submitting them, and an operator's decision about each."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date, datetime

from sqlite_utils import Database

from face_index.consent import ADULT_YEARS, check_consent, is_minor
from face_index.errors import NameTaken, NotDecidable
from face_index.identity import Identity, Proof, Status
from face_index.vault.audit import AuditLog
from face_index.vault.consents import Consents
from face_index.vault.database import transaction
from face_index.vault.documents import Documents
from face_index.vault.erasure import Erasure
from face_index.vault.gallery_version import increase_gallery_version
from face_index.vault.keys import new_key
from face_index.vault.logins import is_named, same_person, share_a_mark
from face_index.vault.names import checked_name, required_text, without_name
from face_index.vault.people import People
from face_index.vault.photos import Photos
from face_index.vault.receipts import ErasureReceipt
from face_index.vault.records import Submission
from face_index.vault.sealed_templates import SealedTemplates
from face_index.vault.vault_keys import VaultKeys


class Enrolments:
    """Takes enrolments into one vault, and approves or rejects them."""

    def __init__(
        self,
        db: Database,
        keys: VaultKeys,
        audit: AuditLog,
        people: People,
        *,
        consents: Consents,
        documents: Documents,
        photos: Photos,
        templates: SealedTemplates,
        erasure: Erasure,
    ) -> None:
        self._db, self._keys, self._audit, self._people = db, keys, audit, people
        self._consents, self._documents, self._photos = consents, documents, photos
        self._templates, self._erasure = templates, erasure

    def submit(self, submission: Submission, now: datetime) -> Identity:
        """Store an enrolment that waits for an operator's decision; all of it or nothing.

        Raises:
            ConsentMissing: The consent does not cover today, or a guardian is needed.
            NameTaken: An identity of that name or reference exists.
            NameRefused: The name or reference could not tell people apart.
        """
        check_consent(submission.consent, submission.born_on, now.date())
        reference = submission.reference
        submission = replace(
            submission,
            name=checked_name(submission.name),
            reference=checked_name(reference, "reference") if reference else None,
            submitted_by=required_text(submission.submitted_by, "who submits"),
        )
        identity_id = uuid.uuid4().hex
        with transaction(self._db):
            self._require_new(submission)
            self._insert_identity(identity_id, submission, now)
            self._consents.add(identity_id, submission.consent)
            self._photos.add(identity_id, submission.photos)
            self._templates.add(identity_id, submission.prototypes, submission.version)
            self._documents.add(identity_id, submission.documents)
            for other_id, score in submission.lookalikes:
                self._db.table("conflicts").insert(
                    {"identity_id": identity_id, "other_id": other_id, "score": score}
                )
            # The name of a person who registers themselves must not stay in the log.
            actor = without_name(submission.submitted_by, self._people.find(identity_id))
            self._audit.append(
                "submitted",
                identity_id,
                actor,
                now,
                photos=submission.photo_count,
                signatory=submission.consent.signatory,
                consent_text=submission.consent.text_version,
                document_sha256=submission.consent.document_sha256,
                documents=[document.kind for document in submission.documents],
                pack_sha256=submission.version.sha256,
            )
        return self._people.find(identity_id)

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
        """Let a person into the gallery, after an operator has checked who they are.

        Args:
            reason: Needed if the person looks like another registered person, or shares the name.
            two_people: False where one person works alone: the login that submitted may approve,
                and the log records it.

        Raises:
            NotDecidable: The enrolment was decided already, the operator submitted it, or a
                reason is missing.
        """
        with transaction(self._db):
            identity = self._people.find(name_or_id)
            if identity.status not in (Status.PENDING, Status.CONFLICT):
                raise NotDecidable(f"{identity.name} is {identity.status} already")
            is_submitter = self._is_submitter(identity, operator, two_people=two_people)
            required_text(operator, "who approves")
            required_text(proof.kind, "what was seen as proof")
            lookalikes = [other for other, _ in self._people.lookalikes_of(identity.identity_id)]
            if not reason.strip():
                self._require_no_conflict(identity, lookalikes)
            self._documents.replace_by_proof(identity.identity_id, proof)
            self._db.table("identities").update(
                identity.identity_id, {"status": str(Status.ACTIVE), "decided_by": operator}
            )
            increase_gallery_version(self._db)
            self._audit.append(
                "approved",
                identity.identity_id,
                operator,
                now,
                document_sha256=proof.document_sha256,
                reason=without_name(reason, identity),
                lookalikes=[other.identity_id for other in lookalikes],
                **({"two_people": "off: who submitted approved"} if is_submitter else {}),
            )
        return self._people.find(identity.identity_id)

    def reject(self, name_or_id: str, operator: str, reason: str, now: datetime) -> ErasureReceipt:
        """Refuse an enrolment that was not approved: all of it is erased, the reason stays.

        Raises:
            NotDecidable: The person was approved already, or a reason is missing.
        """
        identity = self._people.find(name_or_id)
        if identity.status == Status.ACTIVE:
            raise NotDecidable(
                f"{identity.name} is active; `portrait-scanner withdraw` erases a registered person"
            )
        required_text(operator, "who rejects")
        reason = without_name(required_text(reason, "why"), identity)
        return self._erasure.erase(identity.identity_id, "rejected", operator, now, reason=reason)

    def _require_new(self, submission: Submission) -> None:
        """Raise NameTaken if another person has the name or the reference.

        Both are looked up as names and as references, since either may be given to find a person.
        """
        must_differ = [("reference", submission.reference)]
        if not submission.shares_name:
            must_differ.append(("name", submission.name))
        for what, text in must_differ:
            if text and self._people.is_taken(text):
                raise NameTaken(
                    f"{what} {text!r} is already registered; withdraw it first or choose another"
                )

    def _insert_identity(self, identity_id: str, submission: Submission, now: datetime) -> None:
        status = Status.CONFLICT if submission.lookalikes else Status.PENDING
        self._db.table("identities").insert(
            {
                "identity_id": identity_id,
                "name": submission.name,
                "reference": submission.reference,
                "status": str(status),
                "data_key": self._keys.wrap(new_key(), identity_id),
                "photo_count": submission.photo_count,
                "photos_kept": int(bool(submission.photos)),
                "submitted_at": now.isoformat(),
                "submitted_by": submission.submitted_by,
                "decided_by": None,
                "adult_on": _adult_on(submission.born_on, now.date()),
            }
        )

    def _is_submitter(self, identity: Identity, operator: str, *, two_people: bool) -> bool:
        """Whether the operator is the person who submitted, by name or by login.

        Raises:
            NotDecidable: They are, and two people are needed.
        """
        has_same_name = same_person(operator, identity.submitted_by)
        if has_same_name and two_people:
            raise NotDecidable(
                f"{operator} submitted {identity.name} and cannot approve as well; "
                "another operator must"
            )
        has_same_login = self._has_submitters_login(identity, operator)
        if has_same_login and two_people:
            raise NotDecidable(
                f"{identity.name} was submitted from this login, or by whom it belongs to, under "
                "whatever name: another operator must approve from a login of their own. Whoever "
                "works alone sets two_people = false (docs/face_index.md)"
            )
        return has_same_name or has_same_login

    def _has_submitters_login(self, identity: Identity, operator: str) -> bool:
        """Whether the enrolment came from the present login, or from the operator's.

        The audit log records the login of the submission.
        """
        entries = [
            entry for entry in self._audit.about(identity.identity_id) if entry.event == "submitted"
        ]
        submitted_from = entries[-1].details.get("login", ()) if entries else ()
        present = self._audit.login
        return (
            is_named(submitted_from, operator)
            or is_named(present, identity.submitted_by)
            or share_a_mark(submitted_from, present)
        )

    def _require_no_conflict(self, identity: Identity, lookalikes: list[Identity]) -> None:
        """Raise NotDecidable if the person looks like another one, or shares their name."""
        if lookalikes:
            names = ", ".join(other.name for other in lookalikes)
            raise NotDecidable(
                f"{identity.name} looks like {names}, registered already; find out who is "
                "who, then approve with --reason, or reject"
            )
        if self._people.namesakes_of(identity):
            raise NotDecidable(
                f"somebody else called {identity.name} is registered; find out whether they are "
                "two, then approve with --reason, or reject"
            )


def _adult_on(born_on: date | None, day: date) -> str | None:
    """Return the day on which a minor comes of age, ISO 8601; None for an adult."""
    if born_on is None or not is_minor(born_on, day):
        return None
    year = born_on.year + ADULT_YEARS
    try:
        return born_on.replace(year=year).isoformat()
    except ValueError:  # born on 29 February, and the year has no such day
        return date(year, 3, 1).isoformat()
