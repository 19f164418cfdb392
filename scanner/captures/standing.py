"""Choice of the case that stands when an account or page is found again."""

from __future__ import annotations

from reports.cases.case import Case
from reports.cases.review import CaseStatus
from reports.cases.sighting_record import SightingRecord
from scanner.casework.filing import CaseFiling
from scanner.identification.outcome import Outcome

_UNDECIDED = (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES, CaseStatus.SUPERSEDED)


def standing_capture_case(filing: CaseFiling, case: Case) -> str:
    """Id of the case that stands.

    It is the given case, unless somebody decided an equally strong case of the same account. An
    undecided case is superseded, so that the queue shows an account once with all its captures.
    """
    store, actor = filing.case_store, filing.operator
    earlier = [known for known in store.cases(case.identity_id) if known.sighting is not None]
    if any(known.case_id == case.case_id for known in earlier):
        return case.case_id
    decided = [
        known
        for known in earlier
        if _are_of_one_account(known, case)
        and known.status not in _UNDECIDED
        and known.outcome in (case.outcome, Outcome.MATCH)
        and filing.records.is_sound(known)
    ]
    if decided:
        images = len(case.sighting.images if case.sighting else ())
        text = f"{images} images were captured by now: {case.reason}"
        store.add(decided[-1].case_id, "note", actor, filing.clock(), {"text": text})
        return decided[-1].case_id
    filing.open(case)
    for known in earlier:
        if (
            known.status in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
            and _is_within(known, case)
            and filing.records.is_sound(known)
        ):
            by = {"by": case.case_id}
            store.add(known.case_id, "superseded", actor, filing.clock(), by)
            filing.note_superseded(known, case)
    return case.case_id


def _are_of_one_account(case: Case, other: Case) -> bool:
    """Whether both are about the same account, or about the same capture that names none."""
    if case.sighting is None or other.sighting is None:
        return False
    return _account_of(case.sighting) == _account_of(other.sighting)


def _account_of(sighting: SightingRecord) -> tuple[str, ...]:
    account = sighting.account_id or sighting.account_name
    if account:
        return sighting.platform, account
    return tuple(sorted(row.capture_id for row in sighting.captures))


def _is_within(case: Case, other: Case) -> bool:
    """Whether another case covers a case.

    It does if both are about the same account, or if it includes all captures of a case that names
    no account.
    """
    if case.sighting is None or other.sighting is None:
        return False
    captured = {row.capture_id for row in case.sighting.captures}
    is_loose = not (case.sighting.account_id or case.sighting.account_name)
    return _are_of_one_account(case, other) or (
        is_loose and captured <= {row.capture_id for row in other.sighting.captures}
    )
