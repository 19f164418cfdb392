"""Notices to hubs and statements of reasons to uploaders: drafted from a confirmed case, and followed until answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from reports.cases.case import Case
from reports.errors import NoticeIncomplete, NoticeRefused, NotReviewed, ReportError, UnknownNotice
from reports.notices.drafting import Draft, draft_notice
from reports.notices.facts import captured_facts
from reports.notices.template import Template, template, template_names
from reports.notices.rendering import as_docx, as_pdf, as_text
from reports.notices.tracker import (
    NEXT,
    NoticeState,
    all_tracked,
    drafted,
    record_draft,
    record_event,
    tracked,
)
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Form, Posted
from scanner.web.rendering import go, page, told
from scanner.web.views.case_views import page_words
from scanner.web.views.downloads import attachment
from scanner.web.views.review import case_named

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
Writer = Annotated[Session, asks(Permission.NOTICES, Permission.STATEMENTS)]
# In the order in which it usually goes on; what ends a notice comes last.
_FOLLOWING = {
    state: sorted(
        following,
        key=[
            *(one for one in NoticeState if one != NoticeState.CANCELLED),
            NoticeState.CANCELLED,
        ].index,
    )
    for state, following in NEXT.items()
}
_SIDES = {"right-holder": Permission.NOTICES, "operator": Permission.STATEMENTS}
_LONG = frozenset(
    {
        "ground",
        "request",
        "fair_use",
        "facts",
        "redress",
        "scope",
        "restriction",
        "reasons",
        "contact",
        "depiction",
        "description",
    }
)
_KINDS = {
    "txt": "text/plain; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
}


@router.get("/notices")
def listed(request: Request, here: Here, session: Writer) -> Response:
    """Every notice with its clock; what is overdue first."""
    now = here.clock()
    with here.services.one(session.account.actor) as service:
        found = [
            one
            for one in all_tracked(service.case_store)
            if _may(session.account, template(one.template))
        ]
    found.sort(
        key=lambda one: (not one.overdue(now), one.due is None, one.due or now, one.history[0].at),
        reverse=False,
    )
    language = language_of(request)
    words = page_words(language)
    titles = {name: _title(template(name), language) for name in template_names()}
    return page(
        request,
        "notices.html",
        notices=found,
        now=now,
        words=words,
        following=_FOLLOWING,
        titles=titles,
    )


@router.get("/notices/{notice_id}.{form}")
def rendered(notice_id: str, form: str, here: Here, session: Writer) -> Response:
    """A drafted notice as PDF, DOCX or text, as often as it is needed."""
    if form not in _KINDS:
        raise NotThere("no such form of a notice")
    with here.services.one(session.account.actor) as service:
        try:
            made = drafted(service.case_store, notice_id)
        except UnknownNotice as error:
            raise NotThere("no such notice") from error
    if not _may(session.account, made.template):
        raise NotThere("no such notice")
    return attachment(
        _rendered(made, form),
        f"{notice_id}.{made.template.name}.{made.language}.{form}",
        _KINDS[form],
    )


@router.post("/notices/{notice_id}/events")
def note_event(
    request: Request, notice_id: str, here: Here, session: Writer, form: Posted
) -> Response:
    """Sent, acknowledged, removed and so on; the law's clock runs from when it was sent."""
    with here.services.one(session.account.actor) as service:
        try:
            known = tracked(service.case_store, notice_id)
        except UnknownNotice as error:
            raise NotThere("no such notice") from error
        if not _may(session.account, template(known.template)):
            raise NotThere("no such notice")
        try:
            record_event(
                service.case_store,
                notice_id,
                form.text("event", 40),
                session.account.name,
                here.clock(),
                form.text("note"),
            )
        except (NoticeRefused, NotReviewed, UnknownNotice) as error:
            return page(request, "error.html", 422, problem=told(request, error), code=422)
        service.note_notice(
            service.case_store.case(known.case_id), "notice-marked", session.account.actor, notice=notice_id, state=form.text("event", 40)
        )  # fmt: skip
    return go("/notices", "noted")


@router.get("/cases/{case_id}/notices/new")
def choose(request: Request, case_id: str, here: Here, session: Writer) -> Response:
    """Which notice, then its fields; what the case knows is filled in."""
    return _page(request, here, session, case_id, Form({}))


@router.post("/cases/{case_id}/notices")
def draft(request: Request, case_id: str, here: Here, session: Writer, form: Posted) -> Response:
    """Draft a notice and note it in the case's log; the tracker then has it in every form."""
    try:
        name = _chosen(session.account, form.text("kind", 60))
        given = {one.name: form.text(f"field-{one.name}", 4_000) for one in template(name).required}
        given = {field: value for field, value in given.items() if value}
        with here.services.one(session.account.actor) as service:
            case = service.exported(case_named(service, case_id).case_id)
            made = draft_notice(
                name,
                case,
                given,
                here.clock(),
                form.text("language") or None,
                service.vault.fingerprint,
            )
            notice_id = record_draft(service.case_store, made, session.account.name, here.clock())
            service.note_notice(
                case, "notice-drafted", session.account.actor, notice=notice_id, template=name
            )
    except (ReportError, FormRefused) as error:
        return _page(request, here, session, case_id, form, error)
    return go("/notices", "drafted")


def _title(kind: Template, language: str) -> str:
    return kind.title.get(language) or next(iter(kind.title.values()))


def _rendered(made: Draft, kind: str) -> bytes:
    return {
        "txt": lambda: as_text(made).encode(),
        "docx": lambda: as_docx(made),
        "pdf": lambda: as_pdf(made),
    }[kind]()


def _may(account: Account, kind: Template) -> bool:
    return account.may(_SIDES[kind.side])


def _chosen(account: Account, name: str) -> str:
    if name not in template_names() or not _may(account, template(name)):
        raise FormRefused("no-such-choice")
    return name


def _page(
    request: Request,
    here: AppContext,
    session: Session,
    case_id: str,
    form: Form,
    problem: Exception | None = None,
) -> Response:
    kinds = [template(name) for name in template_names() if _may(session.account, template(name))]
    missing = set(problem.missing) if isinstance(problem, NoticeIncomplete) else set[str]()
    chosen = form.text("kind", 60) or request.query_params.get("kind", "")
    kind = next((one for one in kinds if one.name == chosen), None)
    language = form.text("language") or language_of(request)
    with here.services.one(session.account.actor) as service:
        case = case_named(service, case_id)
    kinds = [one for one in kinds if one.fits(case)]
    kind = kind if kind in kinds else None
    kinds.sort(key=lambda one: (one.hub not in (None, case.checkpoint.hub), one.name))
    given = (
        {one.name: form.text(f"field-{one.name}", 4_000) for one in kind.required} if kind else {}
    )
    return page(
        request, "notice_new.html", 422 if problem else 200, problem=told(request, problem) if problem else None, case=case,
        kinds=kinds, kind=kind, given=given, missing=missing, long=_LONG, draft_language=language if kind and language in kind.languages else "",
        known=_known(case, kind, session.account) if kind else {},
    )  # fmt: skip


def _known(case: Case, kind: Template, account: Account) -> dict[str, str]:
    """What case and account say of each field that they know, to be shown as it will be filled in."""
    facts = {
        f"checkpoint.{name}": getattr(case.checkpoint, name)
        for name in ("listing_url", "file", "sha256", "hub", "creator", "title")
    }
    facts |= {
        "identity_name": case.identity_name,
        "triggers": ", ".join(case.checkpoint.triggers),
        **captured_facts(case),
    }
    hub = (
        case.checkpoint.hub
        if case.checkpoint.listing_url.startswith(("http://", "https://"))
        else ""
    )
    said = {
        "right_holder": case.identity_name, "email": account.email, "signature": account.name, "recipient": hub,
        "platform": hub,
    }  # fmt: skip
    return {
        one.name: str(facts.get(one.source or "") or said.get(one.name, ""))
        for one in kind.required
    }
