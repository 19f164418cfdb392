"""One's own account: language and mails, password, second factor, sessions, tokens, deletion."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import segno
from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from scanner.web.auth.access import Scope, scopes_for
from scanner.web.auth.accounts import NOTIFY, Account
from scanner.web.auth.passwords import provisioning_uri
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, SignedIn, StartedSession
from scanner.web.errors import AccountRefused, FormRefused, PasswordRefused, SignedOut, WebError
from scanner.web.forms import Form, Posted, PostedOpenly
from scanner.web.rendering import error_text, home_of, redirect, render_page
from scanner.web.translation import set_language
from scanner.web.views.account_changes import note_change
from scanner.web.views.cookies import delete_session, device_of, remember_device, set_session

router = APIRouter(include_in_schema=False)
Mine = SignedIn


@router.get("/account")
def show(request: Request, context: Context, session: Mine) -> Response:
    return _page(request, context, session)


@router.post("/account/preferences")
def set_preferences(request: Request, context: Context, session: Mine, form: Posted) -> Response:
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
def set_password(request: Request, context: Context, session: Mine, form: Posted) -> Response:
    """Set a new password, for which the present one is needed.

    All other sessions end, and API tokens unless their owner keeps them.
    """
    context.rate_limiter.check(10, "password", session.account.account_id)
    try:
        if (
            session.account.has_password
            and context.accounts.authenticate(
                session.account.email, form.secret("present"), device_of(request)
            )
            is None
        ):
            raise PasswordRefused("wrong")
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        context.accounts.set_password(session.account.account_id, form.secret("password"))
    except PasswordRefused as error:
        return _page(request, context, session, error)
    context.sessions.end_all(session.account.account_id, but=session.session_id)
    context.accounts.lockout.forget_devices(session.account.account_id)
    if form.ticked("end_tokens"):
        context.sessions.revoke_all_tokens(session.account.account_id)
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
    context.accounts.lockout.forget_devices(
        session.account.account_id
        # They became known with the password alone.
    )
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
    request: Request, context: Context, session: Mine, form: Posted
) -> Response:
    """Turn the second factor off, with a last code; only rights holders may."""
    context.rate_limiter.check(20, "code", session.account.account_id)
    if not context.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        return _page(request, context, session, AccountRefused("wrong-code"))
    context.second_factors.remove(session.account.account_id)
    note_change(context, session.account, "account second factor off", session.account.actor)
    return redirect("/account", "second-factor-off")


@router.post("/account/recovery-codes")
def make_recovery_codes(
    request: Request, context: Context, session: Mine, form: Posted
) -> Response:
    """Replace the recovery codes; needs a code."""
    context.rate_limiter.check(20, "code", session.account.account_id)
    if not context.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        return _page(request, context, session, AccountRefused("wrong-code"))
    note_change(context, session.account, "account recovery codes made", session.account.actor)
    return _recovery_page(request, context, session.account, "/account")


@router.post("/account/sessions/end")
def end_sessions(context: Context, session: Mine, form: Posted) -> Response:
    """End one session, or all others."""
    if wanted := form.text("session"):
        context.sessions.end(session.account.account_id, wanted)
    else:
        context.sessions.end_all(session.account.account_id, but=session.session_id)
    return redirect("/account", "ended")


@router.post("/account/tokens")
def make_token(request: Request, context: Context, session: Mine, form: Posted) -> Response:
    try:
        scopes = [Scope(one) for one in form.all("scope") if one in list(Scope)]
        secret = context.sessions.issue_token(
            session.account, form.text("name", 80), scopes, day_in(form, "expires")
        )
    except WebError as error:
        return _page(request, context, session, error)
    note_change(
        context, session.account, "account token made", session.account.actor, scopes=scopes
    )
    return _page(request, context, session, secret=secret)


@router.post("/account/tokens/revoke")
def revoke_token(context: Context, session: Mine, form: Posted) -> Response:
    context.sessions.revoke_token(session.account.account_id, form.text("token"))
    return redirect("/account", "ended")


@router.post("/account/delete")
def delete(request: Request, context: Context, session: Mine, form: Posted) -> Response:
    """Delete the account; a registered likeness must be withdrawn first, on its own page."""
    account = session.account
    if (
        account.has_password
        and context.accounts.authenticate(account.email, form.secret("present"), device_of(request))
        is None
    ):
        return _page(request, context, session, PasswordRefused("wrong"))
    if account.is_staff and not _other_admins(context, account.account_id):
        return _page(request, context, session, AccountRefused("own-account"))
    mine = context.accounts.identities_of(account.account_id)
    if any(
        [one.account_id for one in context.accounts.acting_for(identity)] == [account.account_id]
        for identity in mine
    ):
        return _page(request, context, session, AccountRefused("acts-for"))
    note_change(context, account, "account deleted", account.actor)
    context.accounts.delete(account.account_id)
    response = redirect("/sign-in", "deleted")
    delete_session(request, response)
    return response


def day_in(form: Form, name: str) -> date:
    """A date of a form; raises FormRefused."""
    try:
        return date.fromisoformat(form.text(name, 10))
    except ValueError as error:
        raise FormRefused("no-date", name) from error


def _other_admins(context: AppContext, account_id: str) -> bool:
    from scanner.web.auth.access import Role

    return any(
        Role.ADMIN in one.roles and not one.disabled and one.account_id != account_id
        for one in context.accounts.all()
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
        422 if problem else 200,
        problem=error_text(request, problem) if problem else None,
        mine=account,
        sessions=context.sessions.sessions_of(account.account_id),
        present=session.session_id,
        tokens=context.sessions.tokens_of(account.account_id),
        scopes=scopes_for(account.roles),
        secret=secret,
        notify=NOTIFY,
        until=today + timedelta(days=90),
        last=today + timedelta(days=366),
        codes_left=context.second_factors.recovery_codes_left(account.account_id),
        likenesses=len(context.accounts.identities_of(account.account_id)),
    )


def _recovery_page(
    request: Request, context: AppContext, account: Account, onward: str
) -> Response:
    codes = context.second_factors.new_recovery_codes(account.account_id)
    return render_page(
        request, "recovery_codes.html", codes=codes, onward=f"{onward}?done=second-factor"
    )


def _second_factor_page(
    request: Request, context: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    account = context.accounts.get(session.account.account_id)
    if account.totp_on:
        raise SignedOut("sign in with your code")
    secret = context.second_factors.pending(account.account_id) or context.second_factors.begin(
        account.account_id
    )
    picture: Any = segno.make(provisioning_uri(secret, account.email), error="m").svg_data_uri(
        scale=5, border=2, light="#fff"
    )
    return render_page(
        request,
        "second_factor.html",
        422 if problem else 200,
        problem=error_text(request, problem) if problem else None,
        secret=secret,
        picture=Markup(picture),
        needed=account.is_staff,  # noqa: S704  percent-encoded
    )
