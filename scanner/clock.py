"""The clock that is passed to every store and service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time in UTC, as every store records it."""
    return datetime.now(UTC)
