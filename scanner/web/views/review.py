"""The reviewers' queue and a case's page: look, decide with a reason, note, export."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from reports.cases.case import Case
from reports.cases.review import OPEN, CaseStatus, Decision
from reports.errors import ReportError, ReviewRefused, UnknownCase
from reports.notices.tracker import all_tracked
from scanner.web.auth.access import Permission
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import go, page, told, whole_number
from scanner.web.service_pool import PageCaseService
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
Here = Annotated[AppContext, Depends(app_context_of)]
Reader = Annotated[Session, asks(Permission.CASES_READ)]
Decider = Annotated[Session, asks(Permission.CASES_DECIDE)]
Viewer = Annotated[Session, asks(Permission.IMAGES)]
Exporter = Annotated[Session, asks(Permission.EXPORTS)]
_A_PAGE = 50


@router.get("")
def queue(request: Request, here: Here, session: Reader) -> Response:
    """What waits, most urgent first; filters are in the address, so that a view can be kept."""
    return _queue_page(request, here, session)


@router.post("/bulk")
def decide_many(request: Request, here: Here, session: Decider, form: Posted) -> Response:
    """One decision with one reason for several cases; each gets its own line in its log and in the audit log.

    None is confirmed so: whoever confirms has looked at the pictures of that case.
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
        with here.services.one(session.account.actor) as service:
            for case_id in ids[:200]:
                try:
                    service.review(case_id, session.account.name, form.text("decision"), reason)
                except (ReviewRefused, UnknownCase) as error:
                    refused.append(f"{case_id}: {error}")
    except FormRefused as error:
        return _queue_page(request, here, session, told(request, error))
    if refused:
        return _queue_page(request, here, session, "; ".join(refused))
    return go("/cases", "decided")


@router.get("/{case_id}")
def show(request: Request, case_id: str, here: Here, session: Reader) -> Response:
    return _page(request, here, session, case_id)


@router.post("/{case_id}/pictures")
def show_picture(
    request: Request, case_id: str, here: Here, session: Viewer, form: Posted
) -> Response:
    """One picture as it is; each time is in the log."""
    with here.services.one(session.account.actor) as service:
        case = case_named(service, case_id)
        return picture_response(
            request, service, case, form.text("sha256", 64), f"/cases/{case_id}"
        )


@router.post("/{case_id}/review")
def decide(request: Request, case_id: str, here: Here, session: Decider, form: Posted) -> Response:
    """A decision under the reviewer's name; with four eyes, two people must confirm."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with here.services.one(session.account.actor) as service:
            case = case_named(service, case_id)
            service.review(
                case.case_id, session.account.name, form.text("decision"), form.text("reason")
            )
    except (FormRefused, ReviewRefused) as error:
        return _page(request, here, session, case_id, error)
    return go(f"/cases/{case_id}", "decided")


@router.post("/{case_id}/entries")
def add_entry(
    request: Request, case_id: str, here: Here, session: Decider, form: Posted
) -> Response:
    """A note, a correction, or an appeal that came in by another way."""
    try:
        if not form.text("text"):
            raise FormRefused("no-reason")
        with here.services.one(session.account.actor) as service:
            case = case_named(service, case_id)
            if form.text("kind") == "note":
                service.note(case.case_id, session.account.name, form.text("text"))
            else:
                service.amend(
                    case.case_id, form.text("kind"), session.account.name, form.text("text")
                )
    except (FormRefused, ReviewRefused) as error:
        return _page(request, here, session, case_id, error)
    return go(f"/cases/{case_id}", "noted")


@router.get("/{case_id}/report.{kind}")
def report(request: Request, case_id: str, kind: str, here: Here, session: Exporter) -> Response:
    """The report as HTML or PDF; `?redacted=yes`, or anything but `no`, is the copy for a hub."""
    with here.services.one(session.account.actor) as service:
        case = case_named(service, case_id)
        redacted = request.query_params.get("redacted", "no") != "no"
        return report_response(service, case, kind, language_of(request), redacted=redacted)


@router.post("/{case_id}/bundle")
def bundle(request: Request, case_id: str, here: Here, session: Exporter, form: Posted) -> Response:  # noqa: ARG001  checked
    try:
        with here.services.one(session.account.actor) as service:
            return bundle_response(service, case_named(service, case_id))
    except ReportError as error:
        return _page(request, here, session, case_id, error)


def case_named(service: PageCaseService, case_id: str) -> Case:
    """The case of exactly that id; raises NotThere."""
    try:
        case = service.case(case_id)
    except UnknownCase as error:
        raise NotThere("no such case") from error
    if case.case_id != case_id:
        raise NotThere("no such case")
    return case


def _queue_page(
    request: Request, here: AppContext, session: Session, problem: str | None = None
) -> Response:
    told_by = request.query_params
    shown = {name: told_by.get(name, "")[:200] for name in ("status", "outcome", "hub", "q")}
    with here.services.one(session.account.actor) as service:
        queued = queue_of(service.case_store.summaries(), here.clock())
        registered = {one.identity_id for one in service.vault.people.all()}
        held = waiting_for_a_look(service) if session.account.may(Permission.CASES_DECIDE) else 0
    hubs = sorted({one.case.hub for one in queued})
    wanted = [
        one
        for one in queued
        if _fits(one.status, one.case.outcome, one.case.hub, shown) and _says(one.case, shown["q"])
    ]
    start = whole_number(told_by.get("from")) or 0
    words = page_words(language_of(request))
    return page(
        request, "queue.html", 422 if problem else 200, problem=problem, queued=wanted[start : start + _A_PAGE], total=len(wanted),
        start=start, following=start + _A_PAGE if len(wanted) > start + _A_PAGE else None, shown=shown, hubs=hubs,
        statuses=list(CaseStatus), decisions=[one for one in Decision if one != Decision.CONFIRM], words=words, registered=registered,
        may_decide=session.account.may(Permission.CASES_DECIDE), held=held,
    )  # fmt: skip


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
    here: AppContext,
    session: Session,
    case_id: str,
    problem: Exception | None = None,
) -> Response:
    language, account = language_of(request), session.account
    with here.services.one(account.actor) as service:
        case = case_named(service, case_id)
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
    return page(
        request, "case.html", 422 if problem else 200, problem=told(request, problem) if problem else None, case=case, pairs=pairs, shown_faces=faces,
        **standing, notices=notices, notes=notes, now=here.clock(), decisions=list(Decision), may={str(one) for one in account.permissions},
        **case_facts(case, language),
    )  # fmt: skip
