"""The events that can happen to a listing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crawlers.listing import Presence


class EventKind(StrEnum):
    """The kinds of events. Their values are stored and printed."""

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
    """One event of a listing.

    Attributes:
        at: when it was noticed, ISO 8601 in UTC.
        details: facts for programs.
        event_id: ascending in the order of writing.
        quiet: whether it belongs to a place's first sweep, in which everything is new.
    """

    at: str
    hub: str
    listing_id: str
    kind: EventKind
    details: dict[str, Any]
    event_id: int
    quiet: bool = False
