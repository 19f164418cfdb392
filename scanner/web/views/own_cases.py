"""A case as the person in it sees it: what is known, how sure it is, what they can do."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Request, Response

from reports.cases.case import Case
from reports.cases.notice_list import NoticeState
from reports.cases.review import CaseStatus
from reports.errors import UnknownCase
from reports.notices.tracker import notices_of
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import redirect, render_page
from scanner.web.service_pool import PageCaseService
from scanner.web.translation import language_of, translations
from scanner.web.views.case_views import (
    allowed_now,
    captured_faces,
    case_facts,
    picture_response,
    thumbnails,
)
from scanner.web.views.downloads import bundle_response, report_response
from scanner.web.views.likeness import own_identity

router = APIRouter(include_in_schema=False, prefix="/likeness/{identity_id}/cases/{case_id}")
Mine = Annotated[Session, requires_permission(Permission.LIKENESS)]
_SENT = frozenset(NoticeState) - {NoticeState.DRAFTED, NoticeState.CANCELLED}
# Cases whose evidence the person may download: decisions stand, whatever they were.
_DECIDED = (CaseStatus.CONFIRMED, CaseStatus.REJECTED, CaseStatus.AUTHORISED, CaseStatus.APPEALED)


@router.get("")
def show(
    request: Request, identity_id: str, case_id: str, context: Context, session: Mine
) -> Response:
    return _page(request, context, session, identity_id, case_id)


@router.post("/pictures")
def show_picture(
    request: Request, identity_id: str, case_id: str, context: Context, session: Mine, form: Posted
) -> Response:
    """One picture unblurred; each time is logged."""
    with context.services.acquire(session.account.actor) as service:
        case = _own_case(context, session, service, identity_id, case_id)
        return picture_response(
            request,
            service,
            case,
            form.text("sha256", 64),
            f"/likeness/{identity_id}/cases/{case_id}",
        )


@router.post("/ask")
def ask_for_report(
    identity_id: str,
    case_id: str,
    context: Context,
    session: Mine,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    """Ask the reviewers for a report, which raises the case in their queue."""
    with context.services.acquire(session.account.actor) as service:
        case = _own_case(context, session, service, identity_id, case_id)
        if not any(entry.kind == "request" for entry in case.entries):
            service.note_request(case.case_id, session.account.name)
    return redirect(f"/likeness/{identity_id}/cases/{case_id}", "asked")


@router.post("/tell")
def tell(
    request: Request, identity_id: str, case_id: str, context: Context, session: Mine, form: Posted
) -> Response:
    """Add a statement of the person: an appeal against a decision, or a correction."""
    try:
        text = form.text("text", 4_000)
        if not text:
            raise FormRefused("no-reason")
        with context.services.acquire(session.account.actor) as service:
            case = _own_case(context, session, service, identity_id, case_id)
            kind = (
                "appeal"
                if form.text("kind") == "appeal" and case.status in _DECIDED
                else "correction"
            )
            service.amend(case.case_id, kind, session.account.name, text)
    except FormRefused as error:
        return _page(request, context, session, identity_id, case_id, error)
    return redirect(f"/likeness/{identity_id}/cases/{case_id}", "noted")


@router.get("/report.{kind}")
def report(
    request: Request, identity_id: str, case_id: str, kind: str, context: Context, session: Mine
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        case = _decided(_own_case(context, session, service, identity_id, case_id))
        return report_response(service, case, kind, language_of(request), redacted=False)


@router.post("/bundle")
def bundle(
    identity_id: str,
    case_id: str,
    context: Context,
    session: Mine,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        case = _decided(_own_case(context, session, service, identity_id, case_id))
        return bundle_response(service, case)


def _own_case(
    context: AppContext, session: Session, service: PageCaseService, identity_id: str, case_id: str
) -> Case:
    own_identity(context, session, service, identity_id)
    try:
        case = service.case(case_id)
    except UnknownCase as error:
        raise NotThere("no such case") from error
    if case.identity_id != identity_id or case.case_id != case_id:
        raise NotThere("no such case")
    return case


def _decided(case: Case) -> Case:
    if case.status not in _DECIDED:
        raise NotThere("nobody has decided about this case yet")
    return case


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    identity_id: str,
    case_id: str,
    problem: Exception | None = None,
) -> Response:
    language = language_of(request)
    with context.services.acquire(session.account.actor) as service:
        case = _own_case(context, session, service, identity_id, case_id)
        pairs, faces = thumbnails(service, case, most=12), captured_faces(service, case, most=24)
        allowed = allowed_now(service, case)
        states = {notice.state for notice in notices_of(service.case_store, case.case_id)}
    t = translations(language).gettext
    decided = case.status in _DECIDED
    steps = [
        (t("found"), True),
        (t("decided by a person"), decided),
        (t("notice sent to the hub"), bool(states & _SENT)),
        (t("removed"), NoticeState.REMOVED in states),
    ]
    return render_page(
        request,
        "own_case.html",
        problem=problem,
        case=case,
        pairs=pairs,
        captured_faces=faces,
        decided=decided,
        steps=steps,
        allowed_now=allowed,
        in_a_year=context.clock().date() + timedelta(days=365),
        asked=any(entry.kind == "request" for entry in case.entries),
        **case_facts(case, language),
    )
