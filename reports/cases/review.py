"""Review: no case leaves `draft` without a named person's decision and reason.

Decisions are added and never overwritten.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from reports.cases.case import Case, Entry
from reports.errors import NotReviewed, ReviewRefused


class Decision(StrEnum):
    """What a reviewer can decide."""

    CONFIRM = "confirm"
    REJECT = "reject"
    MORE_SAMPLES = "more-samples"
    AUTHORISED = "authorised"  # a licence or the person's word allows it


class CaseStatus(StrEnum):
    """The state of a case."""

    DRAFT = "draft"
    SECOND_REVIEW = "second-review"  # confirmed once; a second reviewer must confirm it
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    MORE_SAMPLES = "more-samples"
    AUTHORISED = "authorised"
    APPEALED = "appealed"  # a decision stands and is contested
    # A later case shows the same with more captures; nobody had decided about this one.
    SUPERSEDED = "superseded"


# A person must still decide.
OPEN = (CaseStatus.APPEALED, CaseStatus.SECOND_REVIEW, CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
_STATUS = {
    Decision.CONFIRM: CaseStatus.CONFIRMED,
    Decision.REJECT: CaseStatus.REJECTED,
    Decision.MORE_SAMPLES: CaseStatus.MORE_SAMPLES,
    Decision.AUTHORISED: CaseStatus.AUTHORISED,
}


def status_of(entries: Sequence[Entry]) -> str:
    """Where a case with that log stands."""
    status, confirmed_by = CaseStatus.DRAFT, set[str]()
    for entry in entries:
        if entry.kind == "appeal":
            status, confirmed_by = CaseStatus.APPEALED, set()
        elif entry.kind == "superseded":
            status, confirmed_by = CaseStatus.SUPERSEDED, set()
        elif entry.kind == "review":
            decision = Decision(entry.details["decision"])
            confirmed_by = (
                confirmed_by | {same_name(entry.actor)} if decision == Decision.CONFIRM else set()
            )
            status = _STATUS[decision]
            if decision == Decision.CONFIRM and len(confirmed_by) < entry.details.get("eyes", 1):
                status = CaseStatus.SECOND_REVIEW
    return str(status)


def last_review(entries: Sequence[Entry]) -> Entry | None:
    """The newest review in a case's log; None without one."""
    return next((entry for entry in reversed(entries) if entry.kind == "review"), None)


def is_confirmed(entries: Sequence[Entry]) -> bool:
    """Whether a case is confirmed; it stays so while somebody contests that."""
    newest = last_review(entries)
    return (
        status_of(entries) in (CaseStatus.CONFIRMED, CaseStatus.APPEALED)
        and newest is not None
        and newest.details["decision"] == Decision.CONFIRM
    )


def successor_of(entries: Sequence[Entry]) -> str | None:
    """Id of the case that took the place of a superseded one; None for a case that stands."""
    if status_of(entries) != CaseStatus.SUPERSEDED:
        return None
    return next(
        (str(entry.details["by"]) for entry in reversed(entries) if entry.kind == "superseded"),
        None,
    )


def same_name(name: str) -> str:
    """A name or reason without case, width, accents, blanks and punctuation, to be compared."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        sign
        for sign in apart
        if not unicodedata.combining(sign) and unicodedata.category(sign)[0] in "LMN"
    )


def review_details(
    case: Case,
    reviewer: str,
    decision: str,
    reason: str,
    *,
    four_eyes: bool,
    operator: str = "",
    login: Sequence[str] = (),
    two_people: bool = True,
) -> dict[str, object]:
    """The details of a review's log entry.

    Args:
        operator: the person at work, as they named themselves.
        login: marks of the login under which it was entered; logins that share a mark belong to
            one person.
        two_people: False for somebody who works alone: the second review may come from the login
            of the first, and the entry says so.

    Raises:
        ReviewRefused: the name or reason is missing, the decision is unknown, or the second
            reviewer is the first one again.
    """
    if not same_name(reviewer):
        raise ReviewRefused("a review needs the reviewer's name (--reviewer)")
    if not reason.strip():
        raise ReviewRefused("a review needs a reason in words (--reason); it is part of the record")
    if (successor := successor_of(case.entries)) is not None:
        raise ReviewRefused(
            f"case {successor} took the place of {case.case_id}: decide about that one"
        )
    if decision not in list(Decision):
        raise ReviewRefused(f"{decision!r} is not one of {', '.join(Decision)}")
    details: dict[str, object] = {
        "decision": decision,
        "reason": reason.strip(),
        "eyes": 2 if four_eyes else 1,
        "operator": operator,
        "login": list(login),
    }
    last = last_review(case.entries)
    if last is None or case.status != CaseStatus.SECOND_REVIEW or decision != Decision.CONFIRM:
        return details
    if same_name(last.actor) == same_name(reviewer):
        raise ReviewRefused(
            f"{reviewer} has confirmed this case already; the second review is somebody else's"
        )
    if _is_of(last.details.get("login", ()), login, last.actor, reviewer):
        if two_people:
            raise ReviewRefused(
                f"{last.actor} confirmed this case from this login: the second reviewer confirms "
                "from a login of their own. Whoever works alone sets two_people = false "
                "(docs/evidence.md)"
            )
        details["two_people"] = "off: one login confirmed twice"
    return details


def _is_of(first: Sequence[str], second: Sequence[str], first_name: str, second_name: str) -> bool:
    """Whether two reviews come from one person's login, whatever names were given."""
    if {mark.casefold() for mark in first} & {mark.casefold() for mark in second}:
        return True
    return _is_named(first, second_name) or _is_named(second, first_name)


def _is_named(login: Sequence[str], name: str) -> bool:
    return any(
        same_name(mark.removeprefix("user ")) == same_name(name)
        for mark in login
        if mark.startswith("user ")
    )


def require_confirmed(case: Case) -> Entry:
    """The review that confirmed a case; raises NotReviewed."""
    if case.status != CaseStatus.CONFIRMED:
        raise NotReviewed(case.case_id, case.status)
    return next(entry for entry in reversed(case.entries) if entry.kind == "review")


def require_reviewed(case: Case) -> Entry:
    """The newest review of a confirmed case, also while it is appealed; raises NotReviewed."""
    if case.status == CaseStatus.APPEALED:
        review = last_review(case.entries)
        if review is not None:
            return review
    return require_confirmed(case)
