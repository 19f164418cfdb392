"""The order of the review queue, as points, so that the page can say why."""

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
class QueuedCase:
    """A case in the queue.

    Attributes:
        points: higher comes first; 0 for decided cases.
        asked: the person asked for a report.
        days: the age of the case.
    """

    case: CaseSummary
    status: str
    points: int
    asked: bool
    days: int


def queue_of(cases: list[CaseSummary], now: datetime) -> list[QueuedCase]:
    """Cases by urgency, then by age; undecided ones first.

    Points are given for an appeal, which keeps content up or down; for a match over a possible one;
    for downloads, since the harm spreads; for flagged samples, which mean sexual use; for age.
    """
    queued = [_queued(case, now) for case in cases]
    return sorted(queued, key=lambda item: (-item.points, item.case.opened_at))


def _queued(case: CaseSummary, now: datetime) -> QueuedCase:
    status = case.status
    days = max(0, (now - datetime.fromisoformat(case.opened_at)).days)
    asked = any(entry.kind == "request" for entry in case.entries)
    if status not in OPEN:
        return QueuedCase(case, status, 0, asked, days)
    points = 1 + _BY_STATUS[CaseStatus(status)] + (30 if case.outcome == "match" else 10)
    points += round(3 * math.log10(1 + (case.downloads or 0))) + min(days, 20)
    points += (15 if case.flagged else 0) + (15 if asked else 0)
    return QueuedCase(case, status, points, asked, days)
