"""Monthly figures for each rights holder, and the counters that an operator publishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from face_index.identity import Identity
from reports.cases.case import Case, Entry
from reports.cases.case_list import CaseFilter
from reports.cases.case_store import CaseStore
from reports.cases.notice_list import RUNNING, NoticeState
from reports.notices.tracker import Tracked, happened_at, tracked, tracked_in
from scanner.casework.exports import MonthOfResults
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
    """The figures of every registered person, or of one person.

    Only the cases that were opened in the month, or that have a notice, are read.
    """
    people, now = service.vault.people, service.clock()
    persons = people.all() if identity_id is None else [people.find(identity_id)]
    return [
        _month(person.identity_id, person.name, month, _cases(service, person, month), now)
        for person in persons
    ]


def _cases(service: CaseService, person: Identity, month: str) -> list[Case]:
    """The cases on which a person's month rests; raises CaseAltered for a forged one."""
    listed = service.case_store.lists.page(CaseFilter(identity_id=person.identity_id))
    return [
        service.case(case.case_id)
        for case in listed
        if case.opened_at.startswith(month) or any(entry.kind == "notice" for entry in case.entries)
    ]


def _month(
    identity_id: str,
    name: str,
    month: str,
    cases: list[Case],
    now: datetime,
) -> HolderMonth:
    notices = [notice for case in cases for notice in tracked_in(case.case_id, case.entries)]
    opened = [case for case in cases if case.opened_at.startswith(month)]
    return HolderMonth(
        identity_id,
        name,
        month,
        dict(Counter(case.outcome for case in opened)),
        dict(Counter(case.status for case in opened)),
        _events((entry for notice in notices for entry in notice.history), month),
        sum(notice.state in RUNNING for notice in notices),
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


def _events(entries: Iterable[Entry], month: str) -> dict[str, int]:
    return dict(Counter(entry.details["event"] for entry in entries if entry.at.startswith(month)))


def transparency(service: CaseService, results: MonthOfResults, month: str) -> dict[str, Any]:
    """The figures that an operator publishes of a month; counts only, without names.

    Args:
        results: of the scans of the month.
    """
    store = service.case_store
    entries = [entry for _, entry in store.all_entries("notice", month)]
    drafted = [entry for entry in entries if entry.details["event"] == NoticeState.DRAFTED]
    hours = _hours_of_removals(store, entries, month)
    reviews = Counter(entry.details["decision"] for _, entry in store.all_entries("review", month))
    return {
        "month": month,
        "files_examined": results.files,
        "verdicts": results.outcomes,
        "authorised": results.authorised,
        "cases_opened": store.lists.opened_in(month),
        "decisions_by_people": dict(reviews),
        "appeals": sum(1 for _ in store.all_entries("appeal", month)),
        "notices": _events(entries, month),
        "notices_by_kind": dict(Counter(entry.details["template"] for entry in drafted)),
        "median_hours_from_sent_to_removed": round(median(hours), 1) if hours else None,
    }


def _hours_of_removals(store: CaseStore, entries: Iterable[Entry], month: str) -> list[float]:
    """Hours from when notices were sent until what they name was removed in the month."""
    removed = dict.fromkeys(
        entry.details["notice"]
        for entry in entries
        if entry.details["event"] == NoticeState.REMOVED
    )
    taken = (_hours_to_removal(tracked(store, notice_id), month) for notice_id in removed)
    return [hours for hours in taken if hours is not None]


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
