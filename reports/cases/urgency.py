"""The urgency of undecided cases, as points, so that a list can say why it is in its order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from reports.cases.case_summary import CaseSummary
from reports.cases.review import OPEN, CaseStatus

# The age of a case counts one point a day, up to this many.
MOST_DAYS = 20
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


def points_without_age(case: CaseSummary) -> int:
    """The points of a case but for those of its age; 0 for a decided case.

    Points are given for an appeal, which keeps content up or down; for a match over a possible one;
    for downloads, since the harm spreads; for flagged samples, which mean sexual use; if the person
    asked for a report.
    """
    status = case.status
    if status not in OPEN:
        return 0
    points = 1 + _BY_STATUS[CaseStatus(status)] + (30 if case.outcome == "match" else 10)
    points += round(3 * math.log10(1 + (case.downloads or 0)))
    return points + (15 if case.flagged else 0) + (15 if _is_asked(case) else 0)


def queued(case: CaseSummary, now: datetime) -> QueuedCase:
    """A case with its urgency."""
    days = max(0, (now - datetime.fromisoformat(case.opened_at)).days)
    points = points_without_age(case)
    aged = points + min(days, MOST_DAYS) if points else 0
    return QueuedCase(case, case.status, aged, _is_asked(case), days)


def _is_asked(case: CaseSummary) -> bool:
    return any(entry.kind == "request" for entry in case.entries)
