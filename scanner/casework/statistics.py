"""Monthly figures for each rights holder, and the counters that an operator publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from reports.cases.case import Case
from reports.notices.tracker import NoticeState, Tracked, all_tracked, happened_at
from scanner.casework.exports import VerdictRow
from scanner.casework.service import CaseService


@dataclass(frozen=True, slots=True)
class HolderMonth:
    """One rights holder's figures of a month.

    Attributes:
        month: YYYY-MM.
        opened: number of cases opened in it, by outcome.
        statuses: number of those cases by their present status.
        notices: number of notice events in it, by kind.
        open_notices, overdue: at present.
    """

    identity_id: str
    name: str
    month: str
    opened: dict[str, int]
    statuses: dict[str, int]
    notices: dict[str, int]
    open_notices: int
    overdue: int
    cases: tuple[dict[str, Any], ...]


def holder_months(
    service: CaseService, month: str, identity_id: str | None = None
) -> list[HolderMonth]:
    """The figures of every registered person, or of one person."""
    notices, now = all_tracked(service.case_store), service.clock()
    months = []
    for person in service.vault.people.all():
        if identity_id not in (None, person.identity_id):
            continue
        # `service.case` raises for a forged case.
        stored = service.case_store.cases(person.identity_id)
        cases = [service.case(case.case_id) for case in stored]
        ids = {case.case_id for case in cases}
        months.append(
            _month(
                person.identity_id,
                person.name,
                month,
                cases,
                [notice for notice in notices if notice.case_id in ids],
                now,
            )
        )
    return months


def _month(
    identity_id: str,
    name: str,
    month: str,
    cases: list[Case],
    notices: list[Tracked],
    now: datetime,
) -> HolderMonth:
    opened = [case for case in cases if case.opened_at.startswith(month)]
    return HolderMonth(
        identity_id,
        name,
        month,
        dict(Counter(case.outcome for case in opened)),
        dict(Counter(case.status for case in opened)),
        _events(notices, month),
        sum(notice.state in (NoticeState.SENT, NoticeState.ACKNOWLEDGED) for notice in notices),
        sum(notice.overdue(now) for notice in notices),
        tuple(_case_line(case) for case in opened),
    )


def _case_line(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "outcome": case.outcome,
        "status": case.status,
        "file": case.checkpoint.file,
        "hub": case.checkpoint.hub,
        "score": round(case.score, 4),
        "url": case.checkpoint.listing_url,
    }


def _events(notices: Iterable[Tracked], month: str) -> dict[str, int]:
    return dict(
        Counter(
            entry.details["event"]
            for notice in notices
            for entry in notice.history
            if entry.at.startswith(month)
        )
    )


def transparency(
    service: CaseService, verdicts: Iterable[VerdictRow], month: str
) -> dict[str, Any]:
    """The figures that an operator publishes of a month; counts only, without names.

    Args:
        verdicts: rows of all scans (scanner.scanning.verdict_table.verdict_rows).
    """
    rows = [row for row in verdicts if row.judged_in.startswith(month)]
    cases = [case for case in service.case_store.cases() if case.opened_at.startswith(month)]
    notices = all_tracked(service.case_store)
    hours = [taken for notice in notices if (taken := _hours_to_removal(notice, month)) is not None]
    reviews = [
        entry
        for case in service.case_store.cases()
        for entry in case.entries
        if entry.kind == "review" and entry.at.startswith(month)
    ]
    return {
        "month": month,
        "files_examined": len({_file_of(row) for row in rows}),
        "verdicts": dict(Counter(_newest_outcomes(rows).values())),
        "authorised": sum(bool(row.authorised) for row in rows),
        "cases_opened": dict(Counter(case.outcome for case in cases)),
        "decisions_by_people": dict(Counter(entry.details["decision"] for entry in reviews)),
        "appeals": sum(
            entry.kind == "appeal" and entry.at.startswith(month)
            for case in service.case_store.cases()
            for entry in case.entries
        ),
        "notices": _events(notices, month),
        "notices_by_kind": dict(
            Counter(notice.template for notice in notices if notice.history[0].at.startswith(month))
        ),
        "median_hours_from_sent_to_removed": round(median(hours), 1) if hours else None,
    }


def _file_of(row: VerdictRow) -> str:
    return row.sha256 or row.file


def _newest_outcomes(rows: Sequence[VerdictRow]) -> dict[tuple[str, str], str]:
    """Outcomes by file and person, from the newest scan of each file, so that none counts twice."""
    newest: dict[str, str] = {}
    for row in rows:
        newest[_file_of(row)] = max(newest.get(_file_of(row), ""), row.judged_in)
    return {
        (_file_of(row), str(row.identity_id)): row.outcome
        for row in rows
        if row.judged_in == newest[_file_of(row)]
    }


def _hours_to_removal(notice: Tracked, month: str) -> float | None:
    sent = next(
        (entry for entry in notice.history if entry.details["event"] == NoticeState.SENT), None
    )
    gone = next(
        (entry for entry in notice.history if entry.details["event"] == NoticeState.REMOVED), None
    )
    if sent is None or gone is None or not gone.at.startswith(month):
        return None
    return (happened_at(gone) - happened_at(sent)).total_seconds() / 3600
