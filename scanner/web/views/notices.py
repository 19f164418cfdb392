"""Notices to hubs and statements of reasons: drafted from a confirmed case and tracked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from reports.cases.case import Case
from reports.cases.listings import listings_of
from reports.cases.notice_list import NoticeState
from reports.errors import NoticeIncomplete, NoticeRefused, NotReviewed, ReportError, UnknownNotice
from reports.notices.drafting import Draft, draft_notice
from reports.notices.facts import captured_facts
from reports.notices.rendering import as_docx, as_pdf, as_text
from reports.notices.template import Template, template, template_names
from reports.notices.tracker import (
    NEXT,
    count_notices,
    drafted,
    notice_page,
    record_draft,
    record_event,
    tracked,
)
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Form, Posted
from scanner.web.rendering import redirect, render_page
from scanner.web.translation import language_of
from scanner.web.views.case_views import notice_titles, page_words
from scanner.web.views.downloads import attachment
from scanner.web.views.review import find_case

router = APIRouter(include_in_schema=False)
Writer = Annotated[Session, requires_permission(Permission.NOTICES, Permission.STATEMENTS)]
# Next states in their usual order; the one that cancels a notice comes last.
_ORDER = [
    *(state for state in NoticeState if state != NoticeState.CANCELLED),
    NoticeState.CANCELLED,
]
_FOLLOWING = {state: sorted(following, key=_ORDER.index) for state, following in NEXT.items()}
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
_PAGE_SIZE = 50
_KINDS = {
    "txt": "text/plain; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
}


@router.get("/notices")
def listed(request: Request, context: Context, session: Writer) -> Response:
    """All notices with their deadlines, overdue ones first."""
    names = [name for name in template_names() if _may(session.account, template(name))]
    after = request.query_params.get("after", "")[:200] or None
    with context.services.acquire(session.account.actor) as service:
        found = notice_page(service.case_store, templates=names, after=after, limit=_PAGE_SIZE + 1)
        total = count_notices(service.case_store, names)
    notices = found[:_PAGE_SIZE]
    language = language_of(request)
    words = page_words(language)
    return render_page(
        request,
        "notices.html",
        notices=notices,
        total=total,
        next_page=notices[-1].cursor if len(found) > _PAGE_SIZE else None,
        now=context.clock(),
        words=words,
        following=_FOLLOWING,
        titles=notice_titles(language),
    )


@router.get("/notices/{notice_id}.{form}")
def rendered(notice_id: str, form: str, context: Context, session: Writer) -> Response:
    """A drafted notice as PDF, DOCX or text."""
    if form not in _KINDS:
        raise NotThere("no such form of a notice")
    with context.services.acquire(session.account.actor) as service:
        try:
            draft = drafted(service.case_store, notice_id)
        except UnknownNotice as error:
            raise NotThere("no such notice") from error
    if not _may(session.account, draft.template):
        raise NotThere("no such notice")
    name = f"{notice_id}.{draft.template.name}.{draft.language}.{form}"
    return attachment(_rendered(draft, form), name, _KINDS[form])


@router.post("/notices/{notice_id}/events")
def note_event(
    request: Request, notice_id: str, context: Context, session: Writer, form: Posted
) -> Response:
    """Record that a notice was sent, acknowledged, answered and so on.

    The legal deadline runs from when it was sent.
    """
    with context.services.acquire(session.account.actor) as service:
        try:
            notice = tracked(service.case_store, notice_id)
        except UnknownNotice as error:
            raise NotThere("no such notice") from error
        if not _may(session.account, template(notice.template)):
            raise NotThere("no such notice")
        try:
            record_event(
                service.case_store,
                notice_id,
                form.text("event", 40),
                session.account.name,
                context.clock(),
                form.text("note"),
            )
        except (NoticeRefused, NotReviewed, UnknownNotice) as error:
            return render_page(request, "error.html", problem=error, code=422)
        service.note_notice(
            service.case_store.case(notice.case_id),
            "notice-marked",
            session.account.actor,
            notice=notice_id,
            state=form.text("event", 40),
        )
    return redirect("/notices", "noted")


@router.get("/cases/{case_id}/notices/new")
def choose(request: Request, case_id: str, context: Context, session: Writer) -> Response:
    """Choose a notice and fill in its fields; the values that the case has are filled in."""
    return _page(request, context, session, case_id, Form({}))


@router.post("/cases/{case_id}/notices")
def draft_from_form(
    request: Request, case_id: str, context: Context, session: Writer, form: Posted
) -> Response:
    """Draft a notice and record it in the case; the tracker then has it in every format."""
    try:
        name = _chosen(session.account, form.text("kind", 60))
        values = {field: value for field, value in _values(form, template(name)).items() if value}
        with context.services.acquire(session.account.actor) as service:
            found = find_case(service, case_id)
            service.find_copies(found.case_id)
            case = service.exported(found.case_id)
            notice = draft_notice(
                name,
                case,
                values,
                context.clock(),
                form.text("language") or None,
                service.vault.keys.fingerprint,
            )
            notice_id = record_draft(
                service.case_store, notice, session.account.name, context.clock()
            )
            service.note_notice(
                case, "notice-drafted", session.account.actor, notice=notice_id, template=name
            )
    except (ReportError, FormRefused) as error:
        return _page(request, context, session, case_id, form, error)
    return redirect("/notices", "drafted")


def _values(form: Form, kind: Template) -> dict[str, str]:
    return {field.name: form.text(f"field-{field.name}", 4_000) for field in kind.required}


def _rendered(draft: Draft, form: str) -> bytes:
    if form == "txt":
        return as_text(draft).encode()
    return as_docx(draft) if form == "docx" else as_pdf(draft)


def _may(account: Account, kind: Template) -> bool:
    return account.may(_SIDES[kind.side])


def _chosen(account: Account, name: str) -> str:
    if name not in template_names() or not _may(account, template(name)):
        raise FormRefused("no-such-choice")
    return name


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    case_id: str,
    form: Form,
    problem: Exception | None = None,
) -> Response:
    kinds = [template(name) for name in template_names() if _may(session.account, template(name))]
    missing = set(problem.missing) if isinstance(problem, NoticeIncomplete) else set[str]()
    chosen = form.text("kind", 60) or request.query_params.get("kind", "")
    kind = next((kind for kind in kinds if kind.name == chosen), None)
    language = form.text("language") or language_of(request)
    with context.services.acquire(session.account.actor) as service:
        case = find_case(service, case_id)
    is_own = context.settings.web.hub_name in {listing.hub for listing in listings_of(case)}
    owes = is_own or not session.account.may(Permission.NOTICES)
    kinds = [
        kind
        for kind in kinds
        if kind.applies(case) or (owes and kind.side == "operator" and kind.fits(case))
    ]
    kind = kind if kind in kinds else None
    kinds.sort(key=lambda kind: (kind.hub is None, kind.side, kind.name))
    return render_page(
        request,
        "notice_new.html",
        problem=problem,
        case=case,
        kinds=kinds,
        kind=kind,
        is_stale=kind is not None and kind.is_stale(context.clock().date()),
        values=_values(form, kind) if kind else {},
        missing=missing,
        long_fields=_LONG,
        draft_language=language if kind and language in kind.languages else "",
        suggestions=_suggestions(case, kind, session.account) if kind else {},
    )


def _suggestions(case: Case, kind: Template, account: Account) -> dict[str, str]:
    """The values that the case and the account have for the fields of a notice."""
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
    own = {
        "right_holder": case.identity_name,
        "email": account.email,
        "signature": account.name,
        "recipient": hub,
        "platform": hub,
    }
    return {
        field.name: str(facts.get(field.source or "") or own.get(field.name, ""))
        for field in kind.required
    }
