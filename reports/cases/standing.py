"""One case for each person and weights.

Which case a new listing belongs to, and when a decision must be made again.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.cases.case import Case
from reports.cases.listings import ListingRecord, listings_of
from reports.cases.review import CaseStatus

_DECIDED = (
    CaseStatus.CONFIRMED,
    CaseStatus.REJECTED,
    CaseStatus.SECOND_REVIEW,
    CaseStatus.APPEALED,
)


def standing_case(
    cases: Sequence[Case], new: ListingRecord, *, uploader_known: bool = True
) -> Case | None:
    """The case that a new listing belongs to; None if there is none.

    A decision stands until a case is opened because something changed. An authorised case was
    authorised for the uploaders that it names, so another uploader's listing does not belong to it.

    Args:
        cases: those about one person and the same weights, oldest first.
        new: the listing under which the weights were found now.
        uploader_known: False if only the sender says whose listing it is; then no authorisation
            for an uploader covers it.
    """
    found = None
    for case in cases:
        if case.status == CaseStatus.AUTHORISED:
            if uploader_known and any(
                listing.has_uploader_of(new) for listing in listings_of(case)
            ):
                return case
        elif case.status != CaseStatus.SUPERSEDED and (
            found is None or case.status in _DECIDED or _reopens(case)
        ):
            found = case
    return found


def _reopens(case: Case) -> bool:
    return any(entry.kind == "reopens" for entry in case.entries)


def material_change(known: Case, case: Case) -> str | None:
    """Why a new verdict on the same weights and person needs a new review; None if it does not.

    Args:
        known: the case that stands.
        case: the case that the new verdict would open.
    """
    if known.status == CaseStatus.REJECTED and (known.outcome, case.outcome) == (
        "possible",
        "match",
    ):
        return "it was rejected as possible, and is a match by now"
    if known.status == CaseStatus.MORE_SAMPLES and len(known.samples) < len(case.samples):
        return (
            f"more samples were asked for, and there are {len(case.samples)} "
            f"instead of {len(known.samples)} now"
        )
    if known.status not in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES):
        return None
    if is_doubted(known) and case.second_opinion is None:
        return None  # a scan without the second face pack does not undo its doubt
    if known.outcome != case.outcome:
        return f"it was {known.outcome}, and is {case.outcome} by now"
    if case.second_opinion is not None and has_other_opinion(known, case):
        return "another face pack has judged it by now"
    return None


def has_other_opinion(known: Case, case: Case) -> bool:
    """Whether another face pack says something else about two cases than the last digits."""
    one, other = (
        opinion and (opinion.face_pack_sha256, opinion.agrees, opinion.score is None)
        for opinion in (known.second_opinion, case.second_opinion)
    )
    return one != other


def is_doubted(case: Case) -> bool:
    """Whether another face pack does not confirm a case."""
    return case.second_opinion is not None and not case.second_opinion.agrees
