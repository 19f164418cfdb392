"""The state of each notice, from draft to answer, with the deadlines that laws set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reports.cases.case import Entry
from reports.cases.case_store import CaseStore
from reports.cases.notice_list import RUNNING, EndOfPeriod, NoticeState
from reports.cases.review import require_confirmed
from reports.errors import NoticeRefused, UnknownNotice
from reports.notices.clocks import Clock
from reports.notices.drafting import Draft
from reports.notices.template import template, template_names

# The states that may follow each state: removed content can come back, a refusal can be revised.
NEXT: Mapping[NoticeState, frozenset[NoticeState]] = {
    NoticeState.DRAFTED: frozenset({NoticeState.SENT, NoticeState.CANCELLED}),
    NoticeState.CANCELLED: frozenset(),
    NoticeState.SENT: frozenset(
        {NoticeState.ACKNOWLEDGED, NoticeState.REMOVED, NoticeState.REFUSED}
    ),
    NoticeState.ACKNOWLEDGED: frozenset({NoticeState.REMOVED, NoticeState.REFUSED}),
    NoticeState.REMOVED: frozenset({NoticeState.REINSTATED}),
    NoticeState.REFUSED: frozenset({NoticeState.SENT, NoticeState.REMOVED}),
    NoticeState.REINSTATED: frozenset({NoticeState.SENT, NoticeState.REMOVED}),
}


@dataclass(frozen=True, slots=True)
class Tracked:
    """One notice and its history.

    Attributes:
        notice_id: the case's id and a number.
        due: until when it must be answered, or sent, by law; None without such a period, and once
            it is answered.
        history: what happened, in order.
    """

    notice_id: str
    case_id: str
    template: str
    state: NoticeState
    url: str
    due: datetime | None
    history: tuple[Entry, ...]

    @property
    def cursor(self) -> str:
        """Its place in the list of notices, after which the next page begins."""
        return f"{self.notice_id}@{'' if self.due is None else int(self.due.timestamp())}"

    def overdue(self, now: datetime) -> bool:
        return self.due is not None and now > self.due


def record_draft(case_store: CaseStore, draft: Draft, actor: str, now: datetime) -> str:
    """Record that a notice was drafted; returns its id."""
    count = len(
        {
            entry.details["notice"]
            for entry in case_store.entries(draft.case_id)
            if entry.kind == "notice"
        }
    )
    notice_id = f"{draft.case_id}-{count + 1}"
    details: dict[str, Any] = {
        "notice": notice_id,
        "template": draft.template.name,
        "event": str(NoticeState.DRAFTED),
        "url": draft.fields.get("depiction_urls") or draft.fields.get("urls", ""),
        "language": draft.language,
        "recipient": draft.fields.get("recipient") or draft.fields.get("channel", ""),
        "text_sha256": case_store.keep(draft.text.encode(), "notice"),
    }
    if (last := send_by(draft)) is not None:
        details["send_by"] = last.isoformat()
    case_store.add(draft.case_id, "notice", actor, now, details)
    return notice_id


def send_by(draft: Draft) -> datetime | None:
    """Until when a notice must be sent, by law; None without such a period."""
    clock = draft.template.clock
    if clock is None or clock.starts is None:
        return None
    return clock.end_after(draft.fields[clock.starts])


def drafted(case_store: CaseStore, notice_id: str) -> Draft:
    """The draft of a notice as it was made, to be rendered again.

    Raises:
        UnknownNotice: no such notice.
        EvidenceAltered: the text is not what was drafted.
    """
    first = tracked(case_store, notice_id).history[0]
    text = case_store.kept(first.details["text_sha256"], "notice").decode()
    return Draft(
        template(first.details["template"]),
        notice_id.rsplit("-", 1)[0],
        first.details["language"],
        {},
        text,
    )


def record_event(
    case_store: CaseStore,
    notice_id: str,
    event: str,
    actor: str,
    now: datetime,
    note: str = "",
    at: datetime | None = None,
) -> Tracked:
    """Add what happened to a notice.

    Args:
        at: when it happened, if not now; the deadline is counted from then.

    Raises:
        UnknownNotice: no such notice or event.
        NoticeRefused: that cannot follow what happened before, or lies in the future.
        NotReviewed: it is to be sent, and the case is no longer confirmed.
    """
    known = tracked(case_store, notice_id)
    following = ", ".join(sorted(NEXT[known.state])) or "nothing"
    if event not in list(NoticeState) or event == NoticeState.DRAFTED:
        raise UnknownNotice(
            f"{event!r} cannot happen to a notice; to {notice_id} can now: {following}"
        )
    state = NoticeState(event)
    if state not in NEXT[known.state]:
        raise NoticeRefused(
            f"notice {notice_id} is {known.state}: next can come {following}, not {event}"
        )
    if at is not None and at > now:
        raise NoticeRefused(f"{at.isoformat()} lies in the future")
    if at is not None and at < (before := happened_at(known.history[-1])):
        raise NoticeRefused(
            f"{at.isoformat()} lies before {before.isoformat()}, when it became {known.state}"
        )
    if state == NoticeState.SENT and not template(known.template).after_appeal:
        require_confirmed(case_store.case(known.case_id))
    details: dict[str, Any] = {
        "notice": notice_id,
        "template": known.template,
        "event": event,
        "note": note,
    }
    if at is not None:
        details["at"] = at.isoformat()
    case_store.add(known.case_id, "notice", actor, now, details)
    return tracked(case_store, notice_id)


def tracked(case_store: CaseStore, notice_id: str) -> Tracked:
    """One notice as it stands; raises UnknownNotice."""
    case_id = case_store.notices.case_of(notice_id)
    for notice in notices_of(case_store, case_id) if case_id else ():
        if notice.notice_id == notice_id:
            return notice
    raise UnknownNotice(
        f"no notice has the id {notice_id!r}; `portrait-scanner notice list` shows them"
    )


def notices_of(case_store: CaseStore, case_id: str) -> list[Tracked]:
    """The notices of a case, oldest first."""
    return tracked_in(case_id, case_store.entries(case_id))


def tracked_in(case_id: str, entries: Iterable[Entry]) -> list[Tracked]:
    """The notices that the log of a case tells of, oldest first."""
    histories: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == "notice":
            histories.setdefault(entry.details["notice"], []).append(entry)
    return [_tracked(notice_id, case_id, history) for notice_id, history in histories.items()]


def notice_page(
    case_store: CaseStore,
    states: Sequence[NoticeState] = tuple(NoticeState),
    *,
    templates: Iterable[str] | None = None,
    after: str | None = None,
    limit: int = -1,
) -> list[Tracked]:
    """The notices of a page: by deadline, then those without one, the oldest first.

    Args:
        templates: names of the kinds that are listed; None for all.
        after: cursor of the last notice of the page before.
        limit: -1 for all notices.
    """
    page = case_store.notices.page(_ends(templates), states, after=after, limit=limit)
    return [tracked(case_store, notice_id) for notice_id in page]


def count_notices(case_store: CaseStore, templates: Iterable[str] | None = None) -> int:
    """The number of notices of these kinds."""
    return case_store.notices.count(_ends(templates))


def _clocks(templates: Iterable[str] | None) -> dict[str, Clock | None]:
    """The clocks that start when a notice is sent, by template."""
    names = template_names() if templates is None else templates
    clocks = {name: template(name).clock for name in names}
    return {
        name: clock if clock and clock.starts is None else None for name, clock in clocks.items()
    }


def _ends(templates: Iterable[str] | None) -> dict[str, EndOfPeriod | None]:
    clocks = _clocks(templates)
    return {name: clock.end if clock is not None else None for name, clock in clocks.items()}


def happened_at(entry: Entry) -> datetime:
    """When a notice's event happened: the given time, else when it was recorded."""
    return datetime.fromisoformat(entry.details.get("at", entry.at))


def _tracked(notice_id: str, case_id: str, history: Sequence[Entry]) -> Tracked:
    first = history[0]
    state = NoticeState(history[-1].details["event"])
    clock = _clocks([first.details["template"]])[first.details["template"]]
    sent = next(
        (entry for entry in reversed(history) if entry.details["event"] == NoticeState.SENT), None
    )
    due = None
    if clock is not None and sent is not None and state in RUNNING:
        due = clock.end(happened_at(sent))
    elif state == NoticeState.DRAFTED and first.details.get("send_by"):
        due = datetime.fromisoformat(first.details["send_by"])
    return Tracked(
        notice_id,
        case_id,
        first.details["template"],
        state,
        first.details["url"],
        due,
        tuple(history),
    )
