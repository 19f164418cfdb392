"""The review queue and the page of a case: examine, decide with a reason, note, export."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from reports.cases.case import Case
from reports.cases.review import OPEN, CaseStatus, Decision
from reports.errors import ReportError, ReviewRefused, UnknownCase
from reports.notices.tracker import all_tracked
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import error_text, redirect, render_page, whole_number
from scanner.web.service_pool import PageCaseService
from scanner.web.translation import language_of
from scanner.web.views.case_views import (
    allowed_now,
    captured_faces,
    case_facts,
    page_words,
    picture_response,
    thumbnails,
)
from scanner.web.views.downloads import bundle_response, report_response
from scanner.web.views.held_files import waiting_for_a_look
from scanner.web.views.urgency import queue_of

router = APIRouter(include_in_schema=False, prefix="/cases")
Reader = Annotated[Session, requires_permission(Permission.CASES_READ)]
Decider = Annotated[Session, requires_permission(Permission.CASES_DECIDE)]
Viewer = Annotated[Session, requires_permission(Permission.IMAGES)]
Exporter = Annotated[Session, requires_permission(Permission.EXPORTS)]
_PAGE_SIZE = 50


@router.get("")
def queue(request: Request, context: Context, session: Reader) -> Response:
    """The queue, most urgent first; the address holds the filters, so that it can be bookmarked."""
    return _queue_page(request, context, session)


@router.post("/bulk")
def decide_many(request: Request, context: Context, session: Decider, form: Posted) -> Response:
    """Make one decision with one reason for several cases, each logged in its own entry.

    None can be confirmed this way: that needs a look at the pictures of the case.
    """
    refused: list[str] = []
    try:
        ids, reason = form.all("case"), form.text("reason")
        if not ids:
            raise FormRefused("no-cases")
        if not reason:
            raise FormRefused("no-reason")
        if form.text("decision") == Decision.CONFIRM:
            raise FormRefused("one-by-one")
        with context.services.acquire(session.account.actor) as service:
            for case_id in ids[:200]:
                try:
                    service.review(case_id, session.account.name, form.text("decision"), reason)
                except (ReviewRefused, UnknownCase) as error:
                    refused.append(f"{case_id}: {error}")
    except FormRefused as error:
        return _queue_page(request, context, session, error_text(request, error))
    if refused:
        return _queue_page(request, context, session, "; ".join(refused))
    return redirect("/cases", "decided")


@router.get("/{case_id}")
def show(request: Request, case_id: str, context: Context, session: Reader) -> Response:
    return _page(request, context, session, case_id)


@router.post("/{case_id}/pictures")
def show_picture(
    request: Request, case_id: str, context: Context, session: Viewer, form: Posted
) -> Response:
    """One picture unblurred; each time is logged."""
    with context.services.acquire(session.account.actor) as service:
        case = find_case(service, case_id)
        return picture_response(
            request, service, case, form.text("sha256", 64), f"/cases/{case_id}"
        )


@router.post("/{case_id}/review")
def decide(
    request: Request, case_id: str, context: Context, session: Decider, form: Posted
) -> Response:
    """Record a decision under the reviewer's name; with four eyes two people must confirm."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with context.services.acquire(session.account.actor) as service:
            case = find_case(service, case_id)
            service.review(
                case.case_id, session.account.name, form.text("decision"), form.text("reason")
            )
    except (FormRefused, ReviewRefused) as error:
        return _page(request, context, session, case_id, error)
    return redirect(f"/cases/{case_id}", "decided")


@router.post("/{case_id}/entries")
def add_entry(
    request: Request, case_id: str, context: Context, session: Decider, form: Posted
) -> Response:
    """Add a note, a correction, or an appeal that arrived by another way."""
    try:
        if not form.text("text"):
            raise FormRefused("no-reason")
        with context.services.acquire(session.account.actor) as service:
            case = find_case(service, case_id)
            if form.text("kind") == "note":
                service.note(case.case_id, session.account.name, form.text("text"))
            else:
                service.amend(
                    case.case_id, form.text("kind"), session.account.name, form.text("text")
                )
    except (FormRefused, ReviewRefused) as error:
        return _page(request, context, session, case_id, error)
    return redirect(f"/cases/{case_id}", "noted")


@router.get("/{case_id}/report.{kind}")
def report(
    request: Request, case_id: str, kind: str, context: Context, session: Exporter
) -> Response:
    """The report as HTML or PDF; `?redacted=yes`, or any value but `no`, gives the hub's copy."""
    with context.services.acquire(session.account.actor) as service:
        case = find_case(service, case_id)
        redacted = request.query_params.get("redacted", "no") != "no"
        return report_response(service, case, kind, language_of(request), redacted=redacted)


@router.post("/{case_id}/bundle")
def bundle(
    request: Request, case_id: str, context: Context, session: Exporter, form: Posted
) -> Response:  # noqa: ARG001  checks the form
    try:
        with context.services.acquire(session.account.actor) as service:
            return bundle_response(service, find_case(service, case_id))
    except ReportError as error:
        return _page(request, context, session, case_id, error)


def find_case(service: PageCaseService, case_id: str) -> Case:
    """The case of exactly this id; raises NotThere."""
    try:
        case = service.case(case_id)
    except UnknownCase as error:
        raise NotThere("no such case") from error
    if case.case_id != case_id:
        raise NotThere("no such case")
    return case


def _queue_page(
    request: Request, context: AppContext, session: Session, problem: str | None = None
) -> Response:
    told_by = request.query_params
    shown = {name: told_by.get(name, "")[:200] for name in ("status", "outcome", "hub", "q")}
    with context.services.acquire(session.account.actor) as service:
        queued = queue_of(service.case_store.summaries(), context.clock())
        registered = {one.identity_id for one in service.vault.identities()}
        held = waiting_for_a_look(service) if session.account.may(Permission.CASES_DECIDE) else 0
    hubs = sorted({one.case.hub for one in queued})
    wanted = [
        one
        for one in queued
        if _fits(one.status, one.case.outcome, one.case.hub, shown) and _says(one.case, shown["q"])
    ]
    start = whole_number(told_by.get("from")) or 0
    words = page_words(language_of(request))
    return render_page(
        request,
        "queue.html",
        422 if problem else 200,
        problem=problem,
        queued=wanted[start : start + _PAGE_SIZE],
        total=len(wanted),
        start=start,
        following=start + _PAGE_SIZE if len(wanted) > start + _PAGE_SIZE else None,
        shown=shown,
        hubs=hubs,
        statuses=list(CaseStatus),
        decisions=[one for one in Decision if one != Decision.CONFIRM],
        words=words,
        registered=registered,
        may_decide=session.account.may(Permission.CASES_DECIDE),
        held=held,
    )


def _fits(status: str, outcome: str, hub: str, shown: dict[str, str]) -> bool:
    by_status = status in OPEN if not shown["status"] else shown["status"] in ("all", status)
    return by_status and shown["outcome"] in ("", outcome) and shown["hub"] in ("", hub)


def _says(case: object, wanted: str) -> bool:
    fields = ("case_id", "identity_name", "file", "title", "creator", "sha256")
    return not wanted or any(
        wanted.casefold() in str(getattr(case, name) or "").casefold() for name in fields
    )


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    case_id: str,
    problem: Exception | None = None,
) -> Response:
    language, account = language_of(request), session.account
    with context.services.acquire(account.actor) as service:
        case = find_case(service, case_id)
        pairs, faces = thumbnails(service, case), captured_faces(service, case)
        notices = [one for one in all_tracked(service.case_store) if one.case_id == case.case_id]
        standing = {
            "allowed_now": allowed_now(service, case),
            "withdrawn": service.has_withdrawn(case),
            "viewing": service.viewing(case),
        }
        notes = [
            entry for entry in service.case_store.entries(case.case_id) if entry.kind == "note"
        ]
    return render_page(
        request,
        "case.html",
        422 if problem else 200,
        problem=error_text(request, problem) if problem else None,
        case=case,
        pairs=pairs,
        shown_faces=faces,
        **standing,
        notices=notices,
        notes=notes,
        now=context.clock(),
        decisions=list(Decision),
        may={str(one) for one in account.permissions},
        **case_facts(case, language),
    )
