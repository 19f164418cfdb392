"""Lines of a list of captures: their accounts, outcomes, and the cases that rest on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crawlers.captures.capture_rows import CaptureRow, PageRow
from crawlers.captures.capture_store import CaptureStore
from reports.cases.case_store import CaseStore
from scanner.captures.disclosure import HELD, NO_PAGE_YET
from scanner.captures.subjects import subject_of
from scanner.captures.verdicts import CaptureVerdicts
from scanner.identification.outcome import Outcome

_STRONGEST_FIRST = (Outcome.MATCH, Outcome.POSSIBLE, Outcome.INCONCLUSIVE, Outcome.CLEAR)


@dataclass(frozen=True, slots=True)
class CaptureLine:
    """One capture in a list.

    Attributes:
        accounts: as "name (id) · site", each once; ids that look alike are different accounts.
        outcome: the strongest outcome of its pages' subjects; None before any search.
        waits: a second person must decide about a finding or a search.
        cases: ids of the cases that rest on it.
    """

    capture: CaptureRow
    title: str
    accounts: tuple[str, ...]
    outcome: str | None
    waits: bool
    cases: tuple[str, ...]


def overview(
    captures: CaptureStore,
    rows: Iterable[CaptureRow],
    verdicts: CaptureVerdicts,
    case_store: CaseStore,
) -> Iterator[CaptureLine]:
    """A line for each of these captures, in their order."""
    shown = [(row, captures.pages(row.capture_id)) for row in rows]
    outcomes = verdicts.outcomes(
        subject_of(page, row.name)[0] for row, pages in shown for page in pages
    )
    cases = case_store.cases_by_capture(row.capture_id for row, _ in shown)
    for row, pages in shown:
        judged = [known for page in pages if (known := outcomes.get(subject_of(page, row.name)[0]))]
        found = {outcome for outcome, _ in judged}
        yield CaptureLine(
            row,
            next((page.facts.title for page in pages if page.facts.title), ""),
            tuple(dict.fromkeys(account for page in pages if (account := account_of(page)))),
            next((str(outcome) for outcome in _STRONGEST_FIRST if outcome in found), None),
            any(reason in (HELD, NO_PAGE_YET) for _, reason in judged),
            cases.get(row.capture_id, ()),
        )


def account_of(page: PageRow) -> str:
    """The account of a page for display; empty if the page names none."""
    facts = page.facts
    if page.account is None:
        return ""
    name, number = facts.account_name, facts.account_id
    who = f"{name} ({number})" if name and number and name != number else page.account[1]
    return f"{who} · {facts.platform}" if facts.platform else who
