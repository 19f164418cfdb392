"""The periods that laws set for notices.

A period in hours ends to the minute. One in days or months does not count the day on which it
begins and ends with the last hour of its last day; if that month has no such day, with the month
(Regulation (EEC, Euratom) 1182/71, article 3). Days are those of UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from dateutil.relativedelta import relativedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """A period.

    Attributes:
        hours, days, months: how long it is; one of them is not 0.
        starts: the field of the notice whose date starts it; None if it starts when the notice is
            sent. The first is a period in which the notice must be sent, the second one in which it
            must be answered.
    """

    hours: int = 0
    days: int = 0
    months: int = 0
    starts: str | None = None

    def __post_init__(self) -> None:
        if sorted((self.hours, self.days, self.months))[1:2] != [0] or not self.length:
            raise ValueError("a period has hours, days or months")

    @property
    def length(self) -> int:
        """How long it is, in its unit."""
        return self.hours or self.days or self.months

    @property
    def unit(self) -> str:
        """Its unit: "hours", "days" or "months"."""
        return "hours" if self.hours else "days" if self.days else "months"

    def end(self, start: datetime) -> datetime:
        """Return when a period that began at a time ends, in UTC."""
        began = start.astimezone(UTC)
        if self.hours:
            return began + timedelta(hours=self.hours)
        last = began.date() + relativedelta(days=self.days, months=self.months)
        return datetime.combine(last, time(23, 59, 59), UTC)

    def end_after(self, date: str) -> datetime:
        """Return when a period ends that began on a day, as YYYY-MM-DD."""
        return self.end(datetime.fromisoformat(date).replace(tzinfo=UTC))
