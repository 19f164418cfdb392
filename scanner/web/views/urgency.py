"""Which case a person should look at first. Points, so that the page can say why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from reports.cases.case_summary import CaseSummary
from reports.cases.review import OPEN, CaseStatus

_BY_STATUS = {
    CaseStatus.APPEALED: 40,
    CaseStatus.SECOND_REVIEW: 20,
    CaseStatus.DRAFT: 10,
    CaseStatus.MORE_SAMPLES: 0,
}


@dataclass(frozen=True, slots=True)
class Queued:
    """A case in the queue.

    Attributes:
        points: higher comes first; 0 for what nobody waits for.
        asked: the person asked for a report.
        days: since it was opened.
    """

    case: CaseSummary
    status: str
    points: int
    asked: bool
    days: int


def queue_of(cases: list[CaseSummary], now: datetime) -> list[Queued]:
    """Cases by urgency, then by age: what waits before what is decided.

    An appeal holds somebody's content down or up; a match harms more than a possible one; what many download spreads;
    flagged samples mean sexual use; whoever waits long comes up.
    """
    queued = [_queued(case, now) for case in cases]
    return sorted(queued, key=lambda one: (-one.points, one.case.opened_at))


def _queued(case: CaseSummary, now: datetime) -> Queued:
    status = case.status
    days = max(0, (now - datetime.fromisoformat(case.opened_at)).days)
    asked = any(entry.kind == "request" for entry in case.entries)
    if status not in OPEN:
        return Queued(case, status, 0, asked, days)
    points = 1 + _BY_STATUS[CaseStatus(status)] + (30 if case.outcome == "match" else 10)
    points += round(3 * math.log10(1 + (case.downloads or 0))) + min(days, 20)
    points += (15 if case.flagged else 0) + (15 if asked else 0)
    return Queued(case, status, points, asked, days)
