"""The headline of a case's report and page: a finding only where a reviewer has confirmed it."""

from __future__ import annotations

from reports.cases.case import Case
from reports.cases.review import CaseStatus
from reports.documents.words import Translate


def headline(case: Case, translate: Translate) -> str:
    """What the report says first."""
    status, is_match = CaseStatus(case.status), case.outcome == "match"
    if case.sighting is None:
        template = _of_file(status, translate, is_match=is_match)
    else:
        is_account = case.sighting.account_name is not None
        template = _of_captures(status, translate, is_match=is_match, is_account=is_account)
    return template % {"name": case.identity_name}


def _of_file(status: CaseStatus, translate: Translate, *, is_match: bool) -> str:
    match status:
        case CaseStatus.CONFIRMED if is_match:
            return translate("A model file reproduces the face of %(name)s")
        case CaseStatus.CONFIRMED:
            return translate("A model file may reproduce the face of %(name)s")
        case CaseStatus.REJECTED:
            return translate(
                "No infringement found: a model file examined for the face of %(name)s"
            )
        case CaseStatus.AUTHORISED:
            return translate("Authorised use: a model file examined for the face of %(name)s")
    return translate("Not decided: does a model file reproduce the face of %(name)s?")


def _of_captures(
    status: CaseStatus, translate: Translate, *, is_match: bool, is_account: bool
) -> str:
    match status:
        case CaseStatus.CONFIRMED if is_match and is_account:
            return translate("An account publishes images with the face of %(name)s")
        case CaseStatus.CONFIRMED if is_match:
            return translate("A captured page shows the face of %(name)s")
        case CaseStatus.CONFIRMED if is_account:
            return translate("An account may publish images with the face of %(name)s")
        case CaseStatus.CONFIRMED:
            return translate("A captured page may show the face of %(name)s")
        case CaseStatus.REJECTED:
            return translate(
                "No infringement found: captured images examined for the face of %(name)s"
            )
        case CaseStatus.AUTHORISED:
            return translate("Authorised use: captured images examined for the face of %(name)s")
    return translate("Not decided: do captured images show the face of %(name)s?")
