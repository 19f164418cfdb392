"""A registered person, as the rest of the program may see them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum

from face_index.consent import Consent


class Status(StrEnum):
    """How far an enrolment has come."""

    PENDING = "pending"  # waits for an operator's approval
    CONFLICT = (
        "conflict"  # looks like someone registered under another name: an operator must decide
    )
    ACTIVE = "active"  # may be searched while the consent holds


@dataclass(frozen=True, slots=True)
class Proof:
    """How it was established who someone is, or that an agent or guardian may act for them.

    Attributes:
        kind: of the document: "passport", "identity card", "power of attorney", "birth certificate", ...
        document_sha256: of the file that was seen, None if only the paper was.
        checked_by: operator.
        checked_at: UTC.
    """

    kind: str
    document_sha256: str | None
    checked_by: str
    checked_at: datetime

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str, ensure_ascii=False)


def proof_from_json(text: str) -> Proof:
    """The inverse of `Proof.to_json`."""
    record = json.loads(text)
    return Proof(**{**record, "checked_at": datetime.fromisoformat(record["checked_at"])})


@dataclass(frozen=True, slots=True)
class Identity:
    """A registered person.

    Attributes:
        identity_id: opaque; the only thing other stores keep.
        name: as the rights holder wants to be listed.
        consent: the newest receipt.
        photo_count: photos that the template was made from.
        photos_kept: whether they are still stored, sealed; without them a new face pack needs new photos.
        submitted_at: UTC.
        submitted_by: who brought photos and consent.
        status: only `active` is searched.
        decided_by: operator who approved or rejected, None while waiting.
        adult_on: the day on which someone under 18 comes of age, None for an adult.
        reference: an agency's own number for this person, None without one.
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
