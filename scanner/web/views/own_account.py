"""One's own account: language and mails, password, second factor, sessions, tokens, and its end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

import segno
from fastapi import APIRouter, Depends, Request, Response
from markupsafe import Markup

from scanner.web.auth.access import Scope, scopes_for
from scanner.web.auth.account_changes import note_change
from scanner.web.auth.accounts import NOTIFY, Account
from scanner.web.auth.authentication import (
    begun,
    device_of,
    forget_session,
    remember_device,
    set_language,
    set_session,
    signed_in,
)
from scanner.web.auth.passwords import provisioning_uri
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import AccountRefused, FormRefused, PasswordRefused, SignedOut, WebError
from scanner.web.forms import Form, Posted, PostedOpenly
from scanner.web.rendering import go, home_of, page, told

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
Mine = Annotated[Session, Depends(signed_in)]


@router.get("/account")
def show(request: Request, here: Here, session: Mine) -> Response:
    return _page(request, here, session)


@router.post("/account/preferences")
def set_preferences(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    try:
        here.accounts.set_preferences(
            session.account.account_id, form.text("language"), form.text("notify")
        )
    except AccountRefused as error:
        return _page(request, here, session, error)
    response = go("/account", "saved")
    set_language(response, form.text("language"))
    return response


@router.post("/account/password")
def set_password(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    """The present password first; every other session ends, and API tokens unless somebody says that they stay."""
    here.must_be_within(10, "password", session.account.account_id)
    try:
        if (
            session.account.has_password
            and here.accounts.authenticate(
                session.account.email, form.secret("present"), device_of(request)
            )
            is None
        ):
            raise PasswordRefused("wrong")
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        here.accounts.set_password(session.account.account_id, form.secret("password"))
    except PasswordRefused as error:
        return _page(request, here, session, error)
    here.sessions.end_all(session.account.account_id, but=session.session_id)
    here.accounts.lockout.forget_devices(session.account.account_id)
    if form.ticked("end_tokens"):
        here.sessions.revoke_all_tokens(session.account.account_id)
    note_change(here, session.account, "account password changed", session.account.actor)
    response = go("/account", "password")
    remember_device(request, response, session.account)
    return response


@router.get("/account/second-factor")
def show_second_factor(
    request: Request, here: Here, session: Annotated[Session, Depends(begun)]
) -> Response:
    return _second_factor_page(request, here, session)


@router.post("/account/second-factor")
def turn_on_second_factor(
    request: Request, here: Here, session: Annotated[Session, Depends(begun)], form: PostedOpenly
) -> Response:
    """Count it from the first right code on, and show recovery codes; the session gets a new secret."""
    here.must_be_within(20, "code", session.account.account_id)
    if not here.second_factors.confirm(session.account.account_id, form.text("code", 20)):
        return _second_factor_page(request, here, session, AccountRefused("wrong-code"))
    here.sessions.end_all(session.account.account_id)
    here.accounts.lockout.forget_devices(
        session.account.account_id
    )  # they were known by the password alone
    account = here.accounts.one(session.account.account_id)
    note_change(here, account, "account second factor on", account.actor)
    secret = here.sessions.begin(
        account, second_factor=True, agent=session.agent, address=session.address
    )
    response = _recovery_page(
        request, here, account, home_of(account) if account.is_staff else "/account"
    )
    set_session(request, response, secret)
    remember_device(request, response, account)
    return response


@router.post("/account/second-factor/off")
def turn_off_second_factor(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    """Rights holders may do without one; it takes a last code."""
    here.must_be_within(20, "code", session.account.account_id)
    if not here.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        return _page(request, here, session, AccountRefused("wrong-code"))
    here.second_factors.remove(session.account.account_id)
    note_change(here, session.account, "account second factor off", session.account.actor)
    return go("/account", "second-factor-off")


@router.post("/account/recovery-codes")
def make_recovery_codes(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    """New ones in place of those before; it takes a code."""
    here.must_be_within(20, "code", session.account.account_id)
    if not here.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        return _page(request, here, session, AccountRefused("wrong-code"))
    note_change(here, session.account, "account recovery codes made", session.account.actor)
    return _recovery_page(request, here, session.account, "/account")


@router.post("/account/sessions/end")
def end_sessions(here: Here, session: Mine, form: Posted) -> Response:
    """One session, or all others."""
    if wanted := form.text("session"):
        here.sessions.end(session.account.account_id, wanted)
    else:
        here.sessions.end_all(session.account.account_id, but=session.session_id)
    return go("/account", "ended")


@router.post("/account/tokens")
def make_token(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    try:
        scopes = [Scope(one) for one in form.all("scope") if one in list(Scope)]
        secret = here.sessions.issue_token(
            session.account, form.text("name", 80), scopes, day_in(form, "expires")
        )
    except WebError as error:
        return _page(request, here, session, error)
    note_change(here, session.account, "account token made", session.account.actor, scopes=scopes)
    return _page(request, here, session, secret=secret)


@router.post("/account/tokens/revoke")
def revoke_token(here: Here, session: Mine, form: Posted) -> Response:
    here.sessions.revoke_token(session.account.account_id, form.text("token"))
    return go("/account", "ended")


@router.post("/account/delete")
def delete(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    """End the account; a registered likeness is withdrawn on its own page first."""
    account = session.account
    if (
        account.has_password
        and here.accounts.authenticate(account.email, form.secret("present"), device_of(request))
        is None
    ):
        return _page(request, here, session, PasswordRefused("wrong"))
    if account.is_staff and not _other_admins(here, account.account_id):
        return _page(request, here, session, AccountRefused("own-account"))
    mine = here.accounts.identities_of(account.account_id)
    if any(
        [one.account_id for one in here.accounts.acting_for(identity)] == [account.account_id]
        for identity in mine
    ):
        return _page(request, here, session, AccountRefused("acts-for"))
    note_change(here, account, "account deleted", account.actor)
    here.accounts.delete(account.account_id)
    response = go("/sign-in", "deleted")
    forget_session(request, response)
    return response


def day_in(form: Form, name: str) -> date:
    """A date of a form; raises FormRefused."""
    try:
        return date.fromisoformat(form.text(name, 10))
    except ValueError as error:
        raise FormRefused("no-date", name) from error


def _other_admins(here: AppContext, account_id: str) -> bool:
    from scanner.web.auth.access import Role

    return any(
        Role.ADMIN in one.roles and not one.disabled and one.account_id != account_id
        for one in here.accounts.all()
    )


def _page(
    request: Request,
    here: AppContext,
    session: Session,
    problem: Exception | None = None,
    secret: str | None = None,
) -> Response:
    account = here.accounts.one(session.account.account_id)
    today = here.clock().date()
    return page(
        request, "account.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        mine=account, sessions=here.sessions.sessions_of(account.account_id), present=session.session_id,
        tokens=here.sessions.tokens_of(account.account_id), scopes=scopes_for(account.roles), secret=secret,
        notify=NOTIFY, until=today + timedelta(days=90), last=today + timedelta(days=366),
        codes_left=here.second_factors.recovery_codes_left(account.account_id), likenesses=len(here.accounts.identities_of(account.account_id)),
    )  # fmt: skip


def _recovery_page(request: Request, here: AppContext, account: Account, onward: str) -> Response:
    codes = here.second_factors.new_recovery_codes(account.account_id)
    return page(request, "recovery_codes.html", codes=codes, onward=f"{onward}?done=second-factor")


def _second_factor_page(
    request: Request, here: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    account = here.accounts.one(session.account.account_id)
    if account.totp_on:
        raise SignedOut("sign in with your code")
    secret = here.second_factors.pending(account.account_id) or here.second_factors.begin(
        account.account_id
    )
    picture: Any = segno.make(provisioning_uri(secret, account.email), error="m").svg_data_uri(
        scale=5, border=2, light="#fff"
    )
    return page(
        request, "second_factor.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        secret=secret, picture=Markup(picture), needed=account.is_staff,  # noqa: S704  percent-encoded
    )  # fmt: skip
