"""A registered person, as the rest of the program may see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from face_index.consent import Consent


@dataclass(frozen=True, slots=True)
class Identity:
    """A registered person.

    Attributes:
        identity_id: opaque; the only thing other stores keep.
        name: as the rights holder wants to be listed.
        consent: the newest receipt.
        photo_count: photos that the template was made from.
        enrolled_at: UTC.
    """

    identity_id: str
    name: str
    consent: Consent
    photo_count: int
    enrolled_at: datetime

    def is_active(self, day: date) -> bool:
        """Whether this person may be searched on that day."""
        return self.consent.covers(day)


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What stays after a withdrawal: that and when it happened."""

    identity_id: str
    erased_at: datetime
    photos_erased: int
    templates_erased: int
