"""The record of a registered person, without photos or vectors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum

from face_index.consent import Consent


class Status(StrEnum):
    """The state of an enrolment."""

    PENDING = "pending"  # waits for an operator's approval
    CONFLICT = "conflict"  # waits too, and looks like a person registered under another name
    ACTIVE = "active"  # may be searched while the consent holds


@dataclass(frozen=True, slots=True)
class Proof:
    """How an operator established who a person is, or that an agent or guardian may act for them.

    Attributes:
        kind: The kind of document, such as "passport", "identity card", "power of attorney" or
            "birth certificate".
        document_sha256: Of the file that was seen, None if only the paper was.
        checked_by: The operator.
        checked_at: UTC.
    """

    kind: str
    document_sha256: str | None
    checked_by: str
    checked_at: datetime

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str, ensure_ascii=False)


def proof_from_json(text: str) -> Proof:
    """Return the proof that `Proof.to_json` wrote."""
    record = json.loads(text)
    return Proof(**{**record, "checked_at": datetime.fromisoformat(record["checked_at"])})


@dataclass(frozen=True, slots=True)
class Identity:
    """A registered person.

    Attributes:
        identity_id: Opaque; the only attribute that other stores keep.
        name: The name under which the rights holder wants to be listed.
        consent: The newest receipt.
        photo_count: How many photos the template was computed from.
        photos_kept: Whether they are still stored, sealed. Without them a new face pack needs new
            photos.
        submitted_at: UTC.
        submitted_by: The operator who submitted photos and consent.
        status: Only `active` is searched.
        decided_by: The operator who approved or rejected, None while the enrolment waits.
        adult_on: The day on which a minor comes of age, None for an adult.
        reference: An agency's own number for this person, None without one.
    """

    identity_id: str
    name: str
    consent: Consent
    photo_count: int
    photos_kept: bool
    submitted_at: datetime
    submitted_by: str
    status: Status
    decided_by: str | None
    adult_on: date | None
    reference: str | None

    def is_active(self, day: date) -> bool:
        """Whether this person may be searched on that day."""
        return self.status == Status.ACTIVE and self.consent.covers(day)

    def is_minor(self, day: date) -> bool:
        return self.adult_on is not None and day < self.adult_on
