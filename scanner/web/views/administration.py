"""Accounts, the audit log, and the counts that are published."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from scanner.casework.statistics import transparency
from scanner.web.auth.access import Permission, Role
from scanner.web.auth.accounts import STAFF, Account, checked_email
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import AccountRefused, NotThere
from scanner.web.forms import Form, Posted
from scanner.web.rendering import redirect, render_page, whole_number
from scanner.web.translation import language_of, translations
from scanner.web.views.account_changes import note_change
from scanner.web.views.case_views import notice_titles, page_words

router = APIRouter(include_in_schema=False)
Admin = Annotated[Session, requires_permission(Permission.ACCOUNTS)]
_PAGE_SIZE = 100
# The events of the audit log, by the change that the form asks for.
_CHANGES = {
    "disable": "account disabled",
    "enable": "account enabled",
    "sign-out": "account signed out",
    "second-factor": "account second factor off",
}


@router.get("/accounts")
def accounts(request: Request, context: Context, session: Admin) -> Response:
    return _accounts_page(request, context, session)


@router.post("/accounts")
def invite(request: Request, context: Context, session: Admin, form: Posted) -> Response:
    """Invite somebody.

    The link is mailed if there is a mail server, so that nobody else has it, and else shown once.
    """
    email = form.text("email", 300)
    try:
        roles = _roles(form)
        # The link would set a password that an administrator knows.
        if context.accounts.by_email(email) is not None:
            raise AccountRefused("taken")
        secret = context.invitations.create(email, roles, session.account.actor)
    except AccountRefused as error:
        return _accounts_page(request, context, session, error)
    link = f"{context.settings.web.url}/invitation/{secret}"
    # The address of a rights holder must not be logged.
    address = {"email": checked_email(email)} if STAFF & set(roles) else {}
    _log(context, session, "account invited", roles=sorted(roles), **address)
    t = translations(language_of(request)).gettext
    text = t("You are invited to portrait-scanner. Open your account within a week: %(link)s")
    if context.settings.web.smtp_url is None:
        return _accounts_page(request, context, session, link=link)
    context.outbox.mail(checked_email(email), t("An invitation"), f"{text % {'link': link}}\n")
    return redirect("/accounts", "invited")


@router.post("/accounts/invitations/end")
def end_invitation(context: Context, session: Admin, form: Posted) -> Response:
    """Delete the unused invitations of an address."""
    if context.invitations.end(form.text("email", 300)):
        _log(context, session, "invitation taken back")
    return redirect("/accounts", "ended")


@router.get("/accounts/{account_id}")
def show(
    request: Request,
    account_id: str,
    context: Context,
    session: Admin,  # noqa: ARG001  checks the permission
) -> Response:
    return _account_page(request, context, account_id)


@router.post("/accounts/{account_id}/roles")
def set_roles(
    request: Request, account_id: str, context: Context, session: Admin, form: Posted
) -> Response:
    try:
        account = _other(context, session, account_id)
        context.accounts.set_roles(account.account_id, _roles(form))
    except AccountRefused as error:
        return _account_page(request, context, account_id, error)
    note_change(
        context, account, "account roles changed", session.account.actor, roles=sorted(_roles(form))
    )
    return redirect(f"/accounts/{account_id}", "saved")


@router.post("/accounts/{account_id}/state")
def set_state(
    request: Request, account_id: str, context: Context, session: Admin, form: Posted
) -> Response:
    """Disable or enable an account, sign it out everywhere, or remove a lost second factor.

    All but enabling end its sessions and tokens.
    """
    change = form.text("change")
    try:
        account = _other(context, session, account_id)
        if change not in _CHANGES:
            raise AccountRefused("no-such-choice")
        if change in ("disable", "enable"):
            context.accounts.set_disabled(account.account_id, disabled=change == "disable")
        elif change == "second-factor":
            context.second_factors.remove(account.account_id)
        if change != "enable":
            _sign_out_everywhere(context, account.account_id)
    except AccountRefused as error:
        return _account_page(request, context, account_id, error)
    note_change(context, account, _CHANGES[change], session.account.actor)
    return redirect(f"/accounts/{account_id}", "saved")


@router.get("/audit")
def audit(
    request: Request,
    context: Context,
    session: Annotated[Session, requires_permission(Permission.AUDIT)],
) -> Response:
    """The audit log; the hash chain is checked on request."""
    filters = {
        name: request.query_params.get(name, "")[:200] for name in ("actor", "event", "subject")
    }
    before = request.query_params.get("before", "")
    with context.services.acquire(session.account.actor) as service:
        entries = service.vault.audit.found(
            **filters, before=whole_number(before), limit=_PAGE_SIZE
        )
        problems = service.vault.audit.problems() if request.query_params.get("check") else None
        head = service.vault.audit.head
    following = entries[-1].number if len(entries) == _PAGE_SIZE else None
    return render_page(
        request,
        "audit.html",
        entries=entries,
        filters=filters,
        following=following,
        problems=problems,
        head=head,
    )


@router.get("/transparency")
def month_counts(
    request: Request,
    context: Context,
    session: Annotated[Session, requires_permission(Permission.TRANSPARENCY)],
) -> Response:
    """The counts of a month, without names."""
    wanted = request.query_params.get("month", "")
    is_month = re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", wanted)
    month = wanted if is_month else f"{context.clock():%Y-%m}"
    with context.services.acquire(session.account.actor) as service:
        results = context.month_results.of(month, service.scan_store.table.month)
        counts = transparency(service, results, month)
    if request.query_params.get("as") == "json":
        name = f"transparency-{month}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return JSONResponse(counts, headers=headers)
    language = language_of(request)
    words = page_words(language)
    decisions = {
        **words["status"],
        "confirm": words["status"]["confirmed"],
        "reject": words["status"]["rejected"],
    }
    return render_page(
        request,
        "transparency.html",
        counts=counts,
        month=month,
        outcomes=words["outcome"],
        decisions=decisions,
        states=words["notice"],
        titles=notice_titles(language),
    )


def _roles(form: Form) -> list[Role]:
    roles = [Role(name) for name in form.all("role") if name in list(Role)]
    if not roles:
        raise AccountRefused("no-role")
    return roles


def _other(context: AppContext, session: Session, account_id: str) -> Account:
    """An account other than one's own: nobody may lock themselves out or give themselves a role."""
    if account_id == session.account.account_id:
        raise AccountRefused("own-account")
    return _account(context, account_id)


def _sign_out_everywhere(context: AppContext, account_id: str) -> None:
    context.sessions.end_all(account_id)
    context.tokens.revoke_all(account_id)
    context.accounts.lockout.forget_devices(account_id)


def _account(context: AppContext, account_id: str) -> Account:
    try:
        return context.accounts.get(account_id)
    except AccountRefused as error:
        raise NotThere("no such account") from error


def _log(context: AppContext, session: Session, event: str, **details: object) -> None:
    with context.services.acquire(session.account.actor) as service:
        service.vault.audit.record(
            event, "vault", session.account.actor, context.clock(), **details
        )


def _accounts_page(
    request: Request,
    context: AppContext,
    session: Session,
    problem: Exception | None = None,
    link: str | None = None,
) -> Response:
    words = request.query_params.get("q", "")[:200]
    after = request.query_params.get("after", "")[:300]
    found = context.accounts.page(words, after=after, limit=_PAGE_SIZE + 1)
    return render_page(
        request,
        "accounts.html",
        problem=problem,
        q=words,
        accounts=found[:_PAGE_SIZE],
        total=context.accounts.count(words),
        following=found[_PAGE_SIZE - 1].email if len(found) > _PAGE_SIZE else None,
        invitations=context.invitations.unused(),
        roles=list(Role),
        link=link,
        own_account_id=session.account.account_id,
    )


def _account_page(
    request: Request, context: AppContext, account_id: str, problem: Exception | None = None
) -> Response:
    account = _account(context, account_id)
    return render_page(
        request,
        "person_account.html",
        problem=problem,
        person=account,
        roles=list(Role),
        sessions=context.sessions.sessions_of(account_id),
        tokens=context.tokens.of_account(account_id),
        locked=account.locked_until > context.clock().timestamp(),
    )
