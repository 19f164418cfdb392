"""One case for each person and weights: which case a new listing belongs to, and when a decision is asked for again."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cases.case import Case
from reports.cases.listings import ListingRecord, listings_of
from reports.cases.review import CaseStatus

_STANDS = (CaseStatus.CONFIRMED, CaseStatus.REJECTED, CaseStatus.SECOND_REVIEW, CaseStatus.APPEALED)


def standing_case(
    cases: Sequence[Case], new: ListingRecord, *, uploader_known: bool = True
) -> Case | None:
    """Of the cases about one person and the same weights, the one that a new listing belongs to; None without one.

    A decision stands until a case is opened because something changed. What was authorised was authorised for the
    uploaders that the case named: another uploader's listing does not belong there.

    Args:
        cases: oldest first.
        new: the listing under which the weights were found now.
        uploader_known: False where nobody but the sender says whose listing it is; no word for an uploader covers it then.
    """
    found = None
    for case in cases:
        if case.status == CaseStatus.AUTHORISED:
            if uploader_known and any(
                listing.has_uploader_of(new) for listing in listings_of(case)
            ):
                return case
        elif case.status != CaseStatus.SUPERSEDED and (
            found is None or case.status in _STANDS or _reopens(case)
        ):
            found = case
    return found


def _reopens(case: Case) -> bool:
    return any(entry.kind == "reopens" for entry in case.entries)


def material_change(known: Case, case: Case) -> str | None:
    """Why a new verdict on the same weights and person is a matter for a new review; None where it is not.

    Args:
        known: the case that stands.
        case: what the new verdict would open.
    """
    if known.status == CaseStatus.REJECTED and (known.outcome, case.outcome) == (
        "possible",
        "match",
    ):
        return "it was rejected as possible, and is a match by now"
    if known.status == CaseStatus.MORE_SAMPLES and len(known.samples) < len(case.samples):
        return f"more samples were asked for, and there are {len(case.samples)} instead of {len(known.samples)} now"
    if (
        known.status in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
        and known.outcome != case.outcome
    ):
        return f"it was {known.outcome}, and is {case.outcome} by now"
    return None
