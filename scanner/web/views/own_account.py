"""One's own account: language and mails, password, second factor, sessions, tokens, deletion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import segno
from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from scanner.web.auth.access import Role, Scope, scopes_for
from scanner.web.auth.accounts import NOTIFY, Account
from scanner.web.auth.passwords import provisioning_uri
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, SignedIn, StartedSession
from scanner.web.errors import AccountRefused, PasswordRefused, SignedOut, WebError
from scanner.web.forms import Form, Posted, PostedOpenly
from scanner.web.rendering import home_of, redirect, render_page
from scanner.web.translation import set_language
from scanner.web.views.account_changes import note_change
from scanner.web.views.cookies import delete_session, device_of, remember_device, set_session

router = APIRouter(include_in_schema=False)


@router.get("/account")
def show(request: Request, context: Context, session: SignedIn) -> Response:
    return _page(request, context, session)


@router.post("/account/preferences")
def set_preferences(
    request: Request, context: Context, session: SignedIn, form: Posted
) -> Response:
    try:
        context.accounts.set_preferences(
            session.account.account_id, form.text("language"), form.text("notify")
        )
    except AccountRefused as error:
        return _page(request, context, session, error)
    response = redirect("/account", "saved")
    set_language(response, form.text("language"))
    return response


@router.post("/account/password")
def set_password(request: Request, context: Context, session: SignedIn, form: Posted) -> Response:
    """Set a new password, for which the present one is needed.

    All other sessions end, and API tokens unless their owner keeps them.
    """
    context.rate_limiter.check(10, "password", session.account.account_id)
    try:
        _check_password(request, context, session.account, form)
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        context.accounts.set_password(session.account.account_id, form.secret("password"))
    except PasswordRefused as error:
        return _page(request, context, session, error)
    context.sessions.end_all(session.account.account_id, but=session.session_id)
    context.accounts.lockout.forget_devices(session.account.account_id)
    if form.ticked("end_tokens"):
        context.tokens.revoke_all(session.account.account_id)
    note_change(context, session.account, "account password changed", session.account.actor)
    response = redirect("/account", "password")
    remember_device(request, response, session.account)
    return response


@router.get("/account/second-factor")
def show_second_factor(request: Request, context: Context, session: StartedSession) -> Response:
    return _second_factor_page(request, context, session)


@router.post("/account/second-factor")
def turn_on_second_factor(
    request: Request, context: Context, session: StartedSession, form: PostedOpenly
) -> Response:
    """Turn the second factor on with a right code, and show the recovery codes.

    The session gets a new secret.
    """
    context.rate_limiter.check(20, "code", session.account.account_id)
    if not context.second_factors.confirm(session.account.account_id, form.text("code", 20)):
        return _second_factor_page(request, context, session, AccountRefused("wrong-code"))
    context.sessions.end_all(session.account.account_id)
    # The known browsers became known with the password alone.
    context.accounts.lockout.forget_devices(session.account.account_id)
    account = context.accounts.get(session.account.account_id)
    note_change(context, account, "account second factor on", account.actor)
    secret = context.sessions.begin(
        account, second_factor=True, agent=session.agent, address=session.address
    )
    response = _recovery_page(
        request, context, account, home_of(account) if account.is_staff else "/account"
    )
    set_session(request, response, secret)
    remember_device(request, response, account)
    return response


@router.post("/account/second-factor/off")
def turn_off_second_factor(
    request: Request, context: Context, session: SignedIn, form: Posted
) -> Response:
    """Turn the second factor off, with a last code; only rights holders may."""
    context.rate_limiter.check(20, "code", session.account.account_id)
    if not _is_code_right(request, context, session, form):
        return _page(request, context, session, AccountRefused("wrong-code"))
    context.second_factors.remove(session.account.account_id)
    note_change(context, session.account, "account second factor off", session.account.actor)
    return redirect("/account", "second-factor-off")


@router.post("/account/recovery-codes")
def make_recovery_codes(
    request: Request, context: Context, session: SignedIn, form: Posted
) -> Response:
    """Replace the recovery codes; needs a code."""
    context.rate_limiter.check(20, "code", session.account.account_id)
    if not _is_code_right(request, context, session, form):
        return _page(request, context, session, AccountRefused("wrong-code"))
    note_change(context, session.account, "account recovery codes made", session.account.actor)
    return _recovery_page(request, context, session.account, "/account")


@router.post("/account/sessions/end")
def end_sessions(context: Context, session: SignedIn, form: Posted) -> Response:
    """End one session, or all others."""
    if session_id := form.text("session"):
        context.sessions.end(session.account.account_id, session_id)
    else:
        context.sessions.end_all(session.account.account_id, but=session.session_id)
    return redirect("/account", "ended")


@router.post("/account/tokens")
def make_token(request: Request, context: Context, session: SignedIn, form: Posted) -> Response:
    try:
        scopes = [Scope(name) for name in form.all("scope") if name in list(Scope)]
        secret = context.tokens.issue(
            session.account, form.text("name", 80), scopes, form.day("expires")
        )
    except WebError as error:
        return _page(request, context, session, error)
    note_change(
        context, session.account, "account token made", session.account.actor, scopes=scopes
    )
    return _page(request, context, session, secret=secret)


@router.post("/account/tokens/revoke")
def revoke_token(context: Context, session: SignedIn, form: Posted) -> Response:
    context.tokens.revoke(session.account.account_id, form.text("token"))
    return redirect("/account", "ended")


@router.post("/account/delete")
def delete(request: Request, context: Context, session: SignedIn, form: Posted) -> Response:
    """Delete the account; a registered likeness must be withdrawn first, on its own page."""
    account = session.account
    try:
        _check_password(request, context, account, form)
        if account.is_staff and not _has_other_admin(context, account):
            raise AccountRefused("own-account")
        if _is_only_agent(context, account):
            raise AccountRefused("acts-for")
    except (PasswordRefused, AccountRefused) as error:
        return _page(request, context, session, error)
    note_change(context, account, "account deleted", account.actor)
    context.accounts.delete(account.account_id)
    response = redirect("/sign-in", "deleted")
    delete_session(request, response)
    return response


def _check_password(request: Request, context: AppContext, account: Account, form: Form) -> None:
    """Raise PasswordRefused unless the form has the present password, if there is one."""
    if not account.has_password:
        return
    password = form.secret("present")
    if context.accounts.authenticate(account.email, password, device_of(request)) is None:
        raise PasswordRefused("wrong")


def _is_code_right(request: Request, context: AppContext, session: Session, form: Form) -> bool:
    account_id, code = session.account.account_id, form.text("code", 20)
    return context.second_factors.check(account_id, code, device_of(request))


def _has_other_admin(context: AppContext, account: Account) -> bool:
    others = (one for one in context.accounts.staff() if one.account_id != account.account_id)
    return any(Role.ADMIN in other.roles and not other.disabled for other in others)


def _is_only_agent(context: AppContext, account: Account) -> bool:
    """Whether nobody but this account acts for one of its identities."""
    return any(
        [agent.account_id for agent in context.accounts.acting_for(identity_id)]
        == [account.account_id]
        for identity_id in context.accounts.identities_of(account.account_id)
    )


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    problem: Exception | None = None,
    secret: str | None = None,
) -> Response:
    account = context.accounts.get(session.account.account_id)
    today = context.clock().date()
    return render_page(
        request,
        "account.html",
        problem=problem,
        own_account=account,
        sessions=context.sessions.sessions_of(account.account_id),
        session_id=session.session_id,
        tokens=context.tokens.of_account(account.account_id),
        scopes=scopes_for(account.roles),
        secret=secret,
        notify=NOTIFY,
        until=today + timedelta(days=90),
        last=today + timedelta(days=366),
        codes_left=context.second_factors.recovery_codes_left(account.account_id),
        likenesses=len(context.accounts.identities_of(account.account_id)),
    )


def _recovery_page(
    request: Request, context: AppContext, account: Account, next_path: str
) -> Response:
    codes = context.second_factors.new_recovery_codes(account.account_id)
    return render_page(
        request, "recovery_codes.html", codes=codes, next_path=f"{next_path}?done=second-factor"
    )


def _second_factor_page(
    request: Request, context: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    account = context.accounts.get(session.account.account_id)
    if account.totp_on:
        raise SignedOut("sign in with your code")
    factors = context.second_factors
    secret = factors.pending(account.account_id) or factors.begin(account.account_id)
    picture: Any = segno.make(provisioning_uri(secret, account.email), error="m").svg_data_uri(
        scale=5, border=2, light="#fff"
    )
    return render_page(
        request,
        "second_factor.html",
        problem=problem,
        secret=secret,
        picture=Markup(picture),  # noqa: S704  percent-encoded
        needed=account.is_staff,
    )
