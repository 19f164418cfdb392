"""Accounts, the audit log, and the counts that are published."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from scanner.casework.statistics import transparency
from scanner.web.auth.access import Permission, Role
from scanner.web.auth.account_changes import note_change
from scanner.web.auth.accounts import STAFF, Account, checked_email
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import AccountRefused, NotThere
from scanner.web.forms import Form, Posted
from scanner.web.rendering import go, page, told, whole_number
from scanner.web.translation import translations
from scanner.web.views.case_views import page_words

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
Admin = Annotated[Session, asks(Permission.ACCOUNTS)]
_A_PAGE = 100
_STATES = {
    "disable": "account disabled", "enable": "account enabled", "sign-out": "account signed out",
    "second-factor": "account second factor off",
}  # fmt: skip


@router.get("/accounts")
def accounts(request: Request, here: Here, session: Admin) -> Response:
    return _accounts_page(request, here, session)


@router.post("/accounts")
def invite(request: Request, here: Here, session: Admin, form: Posted) -> Response:
    """A link that opens a new account: mailed where a server is set up, so that nobody else has it, and shown once where none is."""
    email = form.text("email", 300)
    try:
        roles = _roles(form)
        if (
            here.accounts.by_email(email) is not None
        ):  # the link would set a password that an administrator knows
            raise AccountRefused("taken")
        secret = here.accounts.invite(email, roles, session.account.actor)
    except AccountRefused as error:
        return _accounts_page(request, here, session, error)
    link = f"{here.settings.web.url}/invitation/{secret}"
    about = (
        {"email": checked_email(email)} if STAFF & set(roles) else {}
    )  # a rights holder's address stays out of the log
    _log(here, session, "account invited", roles=sorted(roles), **about)
    t = translations(language_of(request)).gettext
    text = t("You are invited to portrait-scanner. Open your account within a week: %(link)s")
    if here.settings.web.smtp_url is None:
        return _accounts_page(request, here, session, link=link)
    here.outbox.mail(checked_email(email), t("An invitation"), f"{text % {'link': link}}\n")
    return go("/accounts", "invited")


@router.post("/accounts/invitations/end")
def end_invitation(here: Here, session: Admin, form: Posted) -> Response:
    """Take every link for an address back that nobody has used."""
    if here.accounts.end_invitations(form.text("email", 300)):
        _log(here, session, "invitation taken back")
    return go("/accounts", "ended")


@router.get("/accounts/{account_id}")
def show(request: Request, account_id: str, here: Here, session: Admin) -> Response:  # noqa: ARG001  who may
    return _account_page(request, here, account_id)


@router.post("/accounts/{account_id}/roles")
def set_roles(
    request: Request, account_id: str, here: Here, session: Admin, form: Posted
) -> Response:
    try:
        account = _other(here, session, account_id)
        here.accounts.set_roles(account.account_id, _roles(form))
    except AccountRefused as error:
        return _account_page(request, here, account_id, error)
    note_change(
        here, account, "account roles changed", session.account.actor, roles=sorted(_roles(form))
    )
    return go(f"/accounts/{account_id}", "saved")


@router.post("/accounts/{account_id}/state")
def set_state(
    request: Request, account_id: str, here: Here, session: Admin, form: Posted
) -> Response:
    """Disable, enable, sign out everywhere, or take a lost second factor away; all but enabling ends sessions and tokens."""
    change = form.text("change")
    try:
        account = _other(here, session, account_id)
        if change not in _STATES:
            raise AccountRefused("no-such-choice")
        if change in ("disable", "enable"):
            here.accounts.set_disabled(account.account_id, disabled=change == "disable")
        elif change == "second-factor":
            here.second_factors.remove(account.account_id)
        if change != "enable":
            here.sign_out_everywhere(account.account_id)
    except AccountRefused as error:
        return _account_page(request, here, account_id, error)
    note_change(here, account, _STATES[change], session.account.actor)
    return go(f"/accounts/{account_id}", "saved")


@router.get("/audit")
def audit(
    request: Request, here: Here, session: Annotated[Session, asks(Permission.AUDIT)]
) -> Response:
    """Who did what when; whether the chain is whole is checked on demand."""
    shown = {
        name: request.query_params.get(name, "")[:200] for name in ("actor", "event", "subject")
    }
    before = request.query_params.get("before", "")
    with here.services.one(session.account.actor) as service:
        entries = service.vault.audit.found(**shown, before=whole_number(before), limit=_A_PAGE)
        problems = service.vault.audit.problems() if request.query_params.get("check") else None
        head = service.vault.audit.head
    following = entries[-1].number if len(entries) == _A_PAGE else None
    return page(
        request,
        "audit.html",
        entries=entries,
        shown=shown,
        following=following,
        problems=problems,
        head=head,
    )


@router.get("/transparency")
def month_counts(
    request: Request, here: Here, session: Annotated[Session, asks(Permission.TRANSPARENCY)]
) -> Response:
    """Counts of a month; nobody's name."""
    wanted = request.query_params.get("month", "")
    month = wanted if re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", wanted) else f"{here.clock():%Y-%m}"
    with here.services.one(session.account.actor) as service:
        counts = transparency(service, service.scan_store, month)
    if request.query_params.get("as") == "json":
        return JSONResponse(
            counts,
            headers={"Content-Disposition": f'attachment; filename="transparency-{month}.json"'},
        )
    words = page_words(language_of(request))
    said = {
        **words["status"],
        "confirm": words["status"]["confirmed"],
        "reject": words["status"]["rejected"],
    }
    return page(
        request, "transparency.html", counts=counts, month=month, outcomes=words["outcome"], decisions=said, states=words["notice"]
    )  # fmt: skip


def _roles(form: Form) -> list[Role]:
    roles = [Role(one) for one in form.all("role") if one in list(Role)]
    if not roles:
        raise AccountRefused("no-role")
    return roles


def _other(here: AppContext, session: Session, account_id: str) -> Account:
    """An account of somebody else: nobody locks themselves out, or gives themselves a role."""
    if account_id == session.account.account_id:
        raise AccountRefused("own-account")
    return _account(here, account_id)


def _account(here: AppContext, account_id: str) -> Account:
    try:
        return here.accounts.one(account_id)
    except AccountRefused as error:
        raise NotThere("no such account") from error


def _log(here: AppContext, session: Session, event: str, **details: object) -> None:
    with here.services.one(session.account.actor) as service:
        service.vault.audit.record(event, "vault", session.account.actor, here.clock(), **details)


def _accounts_page(
    request: Request,
    here: AppContext,
    session: Session,
    problem: Exception | None = None,
    link: str | None = None,
) -> Response:
    return page(
        request, "accounts.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        accounts=here.accounts.all(), invitations=here.accounts.open_invitations(), roles=list(Role), link=link,
        own=session.account.account_id,
    )  # fmt: skip


def _account_page(
    request: Request, here: AppContext, account_id: str, problem: Exception | None = None
) -> Response:
    account = _account(here, account_id)
    return page(
        request, "person_account.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        person=account, roles=list(Role), sessions=here.sessions.sessions_of(account_id),
        tokens=here.sessions.tokens_of(account_id), locked=account.locked_until > here.clock().timestamp(),
    )  # fmt: skip
