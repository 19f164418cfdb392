"""The review queue and the page of a case: examine, decide with a reason, note, export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Request, Response

from reports.cases.case import Case
from reports.cases.case_list import CaseFilter, CaseOrder, urgent_cursor
from reports.cases.review import OPEN, CaseStatus, Decision
from reports.cases.urgency import queued
from reports.errors import ReportError, ReviewRefused, UnknownCase
from reports.notices.tracker import notices_of
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import redirect, render_page
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
from scanner.web.views.held_files import undecided_count

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
        return _queue_page(request, context, session, error)
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
    request: Request,
    case_id: str,
    context: Context,
    session: Exporter,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
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
    request: Request,
    context: AppContext,
    session: Session,
    problem: Exception | str | None = None,
) -> Response:
    query = request.query_params
    filters = {name: query.get(name, "")[:200] for name in ("status", "outcome", "hub", "q")}
    may_decide = session.account.may(Permission.CASES_DECIDE)
    wanted, now = _filter_of(filters), context.clock()
    with context.services.acquire(session.account.actor) as service:
        lists = service.case_store.lists
        found = lists.page(
            wanted,
            CaseOrder.URGENT,
            after=query.get("after", "")[:200] or None,
            limit=_PAGE_SIZE + 1,
            now=now,
        )
        total, hubs = lists.count(wanted), lists.hubs()
        shown = found[:_PAGE_SIZE]
        registered = service.vault.people.registered_among(case.identity_id for case in shown)
        held_count = undecided_count(service) if may_decide else 0
    words = page_words(language_of(request))
    return render_page(
        request,
        "queue.html",
        422 if problem else 200,
        problem=problem,
        queued=[queued(case, now) for case in shown],
        total=total,
        following=urgent_cursor(shown[-1], now) if len(found) > _PAGE_SIZE else None,
        filters=filters,
        hubs=hubs,
        statuses=list(CaseStatus),
        decisions=[decision for decision in Decision if decision != Decision.CONFIRM],
        words=words,
        registered=registered,
        may_decide=may_decide,
        held_count=held_count,
    )


def _filter_of(filters: Mapping[str, str]) -> CaseFilter:
    """The filter of the queue; without a status only undecided cases pass it."""
    status = filters["status"]
    statuses = () if status == "all" else (status,) if status else OPEN
    return CaseFilter(statuses, filters["outcome"], filters["hub"], words=filters["q"])


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
        notices = notices_of(service.case_store, case.case_id)
        allowed, withdrawn = allowed_now(service, case), service.has_withdrawn(case)
        viewing = service.viewing(case)
        notes = [
            entry for entry in service.case_store.entries(case.case_id) if entry.kind == "note"
        ]
    return render_page(
        request,
        "case.html",
        problem=problem,
        case=case,
        pairs=pairs,
        captured_faces=faces,
        allowed_now=allowed,
        withdrawn=withdrawn,
        viewing=viewing,
        notices=notices,
        notes=notes,
        now=context.clock(),
        decisions=list(Decision),
        permissions={str(permission) for permission in account.permissions},
        **case_facts(case, language),
    )
