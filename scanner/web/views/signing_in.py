"""Signing in and out, invitations, forgotten passwords."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from starlette.background import BackgroundTask

from scanner.web.auth.access import Role
from scanner.web.auth.account_changes import note_change
from scanner.web.auth.accounts import Account, checked_email
from scanner.web.auth.authentication import (
    begun,
    device_of,
    forget_session,
    language_of,
    local_path,
    missing_step,
    remember_device,
    set_session,
    visiting,
)
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import AccountRefused, NotThere, PasswordRefused
from scanner.web.forms import Form, PostedOpenly
from scanner.web.rendering import go, home_of, page, told
from scanner.web.translation import translations

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
_TRIES_PER_MINUTE = 20
_MAILS_PER_MINUTE = 5
_MAILS_PER_ADDRESS = 2


@router.get("/")
def front(request: Request) -> Response:
    """On to the page of whoever is signed in."""
    session = visiting(request)
    return go("/sign-in" if session is None else missing_step(session) or home_of(session.account))


@router.get("/sign-in")
def ask_to_sign_in(request: Request, here: Here) -> Response:
    return _sign_in_page(request, here)


@router.post("/sign-in")
def sign_in(request: Request, here: Here, form: PostedOpenly) -> Response:
    """Check address and password; says the same of a wrong, a locked and a disabled account, in the same time."""
    here.must_be_within(_TRIES_PER_MINUTE, "sign-in", _address(request))
    account = here.accounts.authenticate(
        form.text("email", 300), form.secret("password"), device_of(request)
    )
    if account is None:
        t = translations(language_of(request)).gettext
        wrong = t(
            "Address or password is wrong. After several wrong tries an account is locked for a quarter of an hour."
        )
        return _sign_in_page(request, here, wrong, 401, form.text("email", 300))
    return admit(request, here, account, second_factor=False, onward=form.text("next"))


@router.get("/sign-in/code")
def ask_for_code(request: Request, session: Annotated[Session, Depends(begun)]) -> Response:
    return (
        go("/")
        if session.second_factor
        else page(request, "code.html", onward=request.query_params.get("next", ""))
    )


@router.post("/sign-in/code")
def give_code(
    request: Request, here: Here, session: Annotated[Session, Depends(begun)], form: PostedOpenly
) -> Response:
    """Check a one-time code; the session that then begins has another secret."""
    here.must_be_within(_TRIES_PER_MINUTE, "code", session.account.account_id)
    if not here.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        wrong = told(request, AccountRefused("wrong-code"))
        return page(request, "code.html", 401, problem=wrong, onward=form.text("next"))
    here.sessions.end(session.account.account_id, session.session_id)
    return admit(request, here, session.account, second_factor=True, onward=form.text("next"))


@router.post("/sign-out")
def sign_out(
    request: Request,
    here: Here,
    session: Annotated[Session, Depends(begun)],
    form: PostedOpenly,  # noqa: ARG001  checked
) -> Response:
    here.sessions.end(session.account.account_id, session.session_id)
    response = go("/sign-in", "signed-out")
    forget_session(request, response)
    return response


@router.get("/invitation/{secret}")
def show_invitation(request: Request, secret: str, here: Here) -> Response:
    invitation = here.accounts.invitation(secret)
    known = here.accounts.by_email(invitation.email) is not None
    return page(request, "invitation.html", invitation=invitation, known=known, name="")


@router.post("/invitation/{secret}")
def accept_invitation(request: Request, secret: str, here: Here, form: PostedOpenly) -> Response:
    here.must_be_within(_TRIES_PER_MINUTE, "invitation", _address(request))
    invitation = here.accounts.invitation(secret)
    known = here.accounts.by_email(invitation.email) is not None
    try:
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        name = form.text("name", 200) or ("-" if known else "")
        account = here.accounts.accept(secret, name, form.secret("password"), language_of(request))
    except (PasswordRefused, AccountRefused) as error:
        facts = {"invitation": invitation, "known": known, "name": form.text("name", 200)}
        return page(request, "invitation.html", 422, problem=told(request, error), **facts)
    event = "account password changed" if known else "account opened"
    note_change(
        here,
        account,
        event,
        account.actor,
        invited_by=invitation.invited_by,
        roles=sorted(account.roles),
    )
    return admit(request, here, account, second_factor=False, onward="")


@router.get("/sign-up")
def ask_to_sign_up(request: Request, here: Here) -> Response:
    if not here.settings.web.open_sign_up:
        raise NotThere("accounts are opened by invitation here")
    return page(request, "mailed_link.html", reason="sign-up")


@router.post("/sign-up")
def sign_up(request: Request, here: Here, form: PostedOpenly) -> Response:
    """Mail a link; whether there is an account already is told to the address alone."""
    if not here.settings.web.open_sign_up:
        raise NotThere("accounts are opened by invitation here")
    return _mail_link(request, here, form, "sign-up")


@router.get("/forgotten")
def ask_for_link(request: Request) -> Response:
    return page(request, "mailed_link.html", reason="forgotten")


@router.post("/forgotten")
def mail_new_password_link(request: Request, here: Here, form: PostedOpenly) -> Response:
    return _mail_link(request, here, form, "forgotten")


def _mail_link(request: Request, here: AppContext, form: Form, reason: str) -> Response:
    here.must_be_within(_MAILS_PER_MINUTE, "mail", _address(request))
    try:
        if here.settings.web.smtp_url is None:
            raise AccountRefused("no-mail")
        email = checked_email(form.text("email", 300))
    except AccountRefused as error:
        return page(request, "mailed_link.html", 422, problem=told(request, error), reason=reason)
    here.must_be_within(_MAILS_PER_ADDRESS, "mail to", email)
    response = go("/sign-in", "mailed")
    # After the answer, whose time must not tell whether there is an account.
    response.background = BackgroundTask(_send_what_fits, here, email, language_of(request), reason)
    return response


def _send_what_fits(here: AppContext, email: str, language: str, reason: str) -> None:
    account = here.accounts.by_email(email)
    if account is not None and not account.disabled:
        _send_link(here, account.email, account.roles, account.language, known=True)
    elif account is None and reason == "sign-up":
        _send_link(here, email, (Role.RIGHTS_HOLDER,), language, known=False)


def _send_link(
    here: AppContext, email: str, roles: tuple[Role, ...], language: str, *, known: bool
) -> None:
    t = translations(language).gettext
    link = f"{here.settings.web.url}/invitation/{here.accounts.invite(email, roles, 'the person')}"
    subject = t("Set a new password") if known else t("Open your account")
    text = t("Follow this link within a week: %(link)s") % {"link": link}
    more = t("If you did not ask for it, do nothing: without the link nothing changes.")
    here.outbox.mail(email, subject, f"{text}\n\n{more}\n")


def admit(
    request: Request, here: AppContext, account: Account, *, second_factor: bool, onward: str
) -> Response:
    """A new session for whoever gave the right secret; what the browser held before counts no more."""
    old = visiting(request)
    if old is not None:
        here.sessions.end(old.account.account_id, old.session_id)
    agent = request.headers.get("user-agent", "")
    secret = here.sessions.begin(
        account, second_factor=second_factor, agent=agent, address=_address(request)
    )
    begun_now = here.sessions.session(secret)
    missing = missing_step(begun_now) if begun_now else None
    onward = local_path(onward)
    if missing == "/sign-in/code" and onward != "/":
        missing = f"{missing}?next={quote(onward, safe='')}"
    response = go(missing or (onward if onward != "/" else home_of(account)))
    set_session(request, response, secret)
    if missing is None:
        remember_device(request, response, account)
    return response


def _sign_in_page(
    request: Request,
    here: AppContext,
    problem: str | None = None,
    status: int = 200,
    email: str = "",
) -> Response:
    web = here.settings.web
    return page(
        request, "sign_in.html", status, problem=problem, onward=request.query_params.get("next", ""), email=email,
        open_sign_up=web.open_sign_up, openid=web.oidc.name if web.oidc else None, mails=web.smtp_url is not None,
    )  # fmt: skip


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
