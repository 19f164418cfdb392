"""What can happen to a listing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crawlers.listing import Presence


class EventKind(StrEnum):
    """What can happen to a listing."""

    FIRST_SEEN = "first seen"
    CHANGED = "changed"
    TAKEN_DOWN = "taken down"
    ARCHIVED = "archived"
    FLAGGED = "flagged as a real person"
    GONE = "gone"
    BACK_AGAIN = "back again"
    RE_UPLOADED = "re-uploaded elsewhere"
    OTHER_BYTES = "other bytes than claimed"


EXPECTED_AT_FIRST = frozenset({EventKind.FIRST_SEEN, EventKind.RE_UPLOADED})
OF_PRESENCE = {
    Presence.GONE: EventKind.GONE,
    Presence.ARCHIVED: EventKind.ARCHIVED,
    Presence.TAKEN_DOWN: EventKind.TAKEN_DOWN,
    Presence.FLAGGED: EventKind.FLAGGED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a listing.

    Attributes:
        at: when it was noticed, ISO 8601 in UTC.
        details: facts for a program.
        event_id: ascending in the order of being written.
        quiet: of a place's first sweep, where all is new and nothing is news.
    """

    at: str
    hub: str
    listing_id: str
    kind: EventKind
    details: dict[str, Any]
    event_id: int
    quiet: bool = False
