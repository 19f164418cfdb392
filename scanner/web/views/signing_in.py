"""Signing in and out, invitations, forgotten passwords."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from scanner.web.auth.access import Role
from scanner.web.auth.accounts import Account, checked_email
from scanner.web.auth.authentication import local_path, missing_step
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, StartedSession, session_of
from scanner.web.errors import AccountRefused, NotThere, PasswordRefused
from scanner.web.forms import Form, PostedOpenly
from scanner.web.rendering import error_text, home_of, redirect, render_page
from scanner.web.translation import language_of, translations
from scanner.web.views.account_changes import note_change
from scanner.web.views.cookies import delete_session, device_of, remember_device, set_session

router = APIRouter(include_in_schema=False)
_TRIES_PER_MINUTE = 20
_MAILS_PER_MINUTE = 5
_MAILS_PER_ADDRESS = 2


@router.get("/")
def front(request: Request) -> Response:
    """Redirect to the first page of the account."""
    session = session_of(request)
    return redirect(
        "/sign-in" if session is None else missing_step(session) or home_of(session.account)
    )


@router.get("/sign-in")
def ask_to_sign_in(request: Request, context: Context) -> Response:
    return _sign_in_page(request, context)


@router.post("/sign-in")
def sign_in(request: Request, context: Context, form: PostedOpenly) -> Response:
    """Check address and password.

    The answer is the same, and takes the same time, for a wrong password and for an account that is
    locked or disabled.
    """
    context.rate_limiter.check(_TRIES_PER_MINUTE, "sign-in", _address(request))
    account = context.accounts.authenticate(
        form.text("email", 300), form.secret("password"), device_of(request)
    )
    if account is None:
        t = translations(language_of(request)).gettext
        wrong = t(
            "Address or password is wrong. After several wrong tries an account is locked for a "
            "quarter of an hour."
        )
        return _sign_in_page(request, context, wrong, 401, form.text("email", 300))
    return start_session(request, context, account, second_factor=False, onward=form.text("next"))


@router.get("/sign-in/code")
def ask_for_code(request: Request, session: StartedSession) -> Response:
    return (
        redirect("/")
        if session.second_factor
        else render_page(request, "code.html", onward=request.query_params.get("next", ""))
    )


@router.post("/sign-in/code")
def give_code(
    request: Request, context: Context, session: StartedSession, form: PostedOpenly
) -> Response:
    """Check a one-time code; the session that follows has a new secret."""
    context.rate_limiter.check(_TRIES_PER_MINUTE, "code", session.account.account_id)
    if not context.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        wrong = error_text(request, AccountRefused("wrong-code"))
        return render_page(request, "code.html", 401, problem=wrong, onward=form.text("next"))
    context.sessions.end(session.account.account_id, session.session_id)
    return start_session(
        request, context, session.account, second_factor=True, onward=form.text("next")
    )


@router.post("/sign-out")
def sign_out(
    request: Request,
    context: Context,
    session: StartedSession,
    form: PostedOpenly,  # noqa: ARG001  checks the form
) -> Response:
    context.sessions.end(session.account.account_id, session.session_id)
    response = redirect("/sign-in", "signed-out")
    delete_session(request, response)
    return response


@router.get("/invitation/{secret}")
def show_invitation(request: Request, secret: str, context: Context) -> Response:
    invitation = context.accounts.invitation(secret)
    known = context.accounts.by_email(invitation.email) is not None
    return render_page(request, "invitation.html", invitation=invitation, known=known, name="")


@router.post("/invitation/{secret}")
def accept_invitation(
    request: Request, secret: str, context: Context, form: PostedOpenly
) -> Response:
    context.rate_limiter.check(_TRIES_PER_MINUTE, "invitation", _address(request))
    invitation = context.accounts.invitation(secret)
    known = context.accounts.by_email(invitation.email) is not None
    try:
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        name = form.text("name", 200) or ("-" if known else "")
        account = context.accounts.accept(
            secret, name, form.secret("password"), language_of(request)
        )
    except (PasswordRefused, AccountRefused) as error:
        facts = {"invitation": invitation, "known": known, "name": form.text("name", 200)}
        return render_page(
            request, "invitation.html", 422, problem=error_text(request, error), **facts
        )
    event = "account password changed" if known else "account opened"
    note_change(
        context,
        account,
        event,
        account.actor,
        invited_by=invitation.invited_by,
        roles=sorted(account.roles),
    )
    return start_session(request, context, account, second_factor=False, onward="")


@router.get("/sign-up")
def ask_to_sign_up(request: Request, context: Context) -> Response:
    if not context.settings.web.open_sign_up:
        raise NotThere("accounts are opened by invitation here")
    return render_page(request, "mailed_link.html", reason="sign-up")


@router.post("/sign-up")
def sign_up(request: Request, context: Context, form: PostedOpenly) -> Response:
    """Mail a link; only the owner of the address learns whether there is an account."""
    if not context.settings.web.open_sign_up:
        raise NotThere("accounts are opened by invitation here")
    return _mail_link(request, context, form, "sign-up")


@router.get("/forgotten")
def ask_for_link(request: Request) -> Response:
    return render_page(request, "mailed_link.html", reason="forgotten")


@router.post("/forgotten")
def mail_new_password_link(request: Request, context: Context, form: PostedOpenly) -> Response:
    return _mail_link(request, context, form, "forgotten")


def _mail_link(request: Request, context: AppContext, form: Form, reason: str) -> Response:
    context.rate_limiter.check(_MAILS_PER_MINUTE, "mail", _address(request))
    try:
        if context.settings.web.smtp_url is None:
            raise AccountRefused("no-mail")
        email = checked_email(form.text("email", 300))
    except AccountRefused as error:
        return render_page(
            request, "mailed_link.html", 422, problem=error_text(request, error), reason=reason
        )
    context.rate_limiter.check(_MAILS_PER_ADDRESS, "mail to", email)
    response = redirect("/sign-in", "mailed")
    # Sent after the answer, whose time must not reveal whether there is an account.
    response.background = BackgroundTask(
        _send_what_fits, context, email, language_of(request), reason
    )
    return response


def _send_what_fits(context: AppContext, email: str, language: str, reason: str) -> None:
    account = context.accounts.by_email(email)
    if account is not None and not account.disabled:
        _send_link(context, account.email, account.roles, account.language, known=True)
    elif account is None and reason == "sign-up":
        _send_link(context, email, (Role.RIGHTS_HOLDER,), language, known=False)


def _send_link(
    context: AppContext, email: str, roles: tuple[Role, ...], language: str, *, known: bool
) -> None:
    t = translations(language).gettext
    link = f"{context.settings.web.url}/invitation/{context.accounts.invite(email, roles, 'the person')}"
    subject = t("Set a new password") if known else t("Open your account")
    text = t("Follow this link within a week: %(link)s") % {"link": link}
    more = t("If you did not ask for it, do nothing: without the link nothing changes.")
    context.outbox.mail(email, subject, f"{text}\n\n{more}\n")


def start_session(
    request: Request, context: AppContext, account: Account, *, second_factor: bool, onward: str
) -> Response:
    """Start a new session, and end the one that the browser had before."""
    old = session_of(request)
    if old is not None:
        context.sessions.end(old.account.account_id, old.session_id)
    agent = request.headers.get("user-agent", "")
    secret = context.sessions.begin(
        account, second_factor=second_factor, agent=agent, address=_address(request)
    )
    begun_now = context.sessions.session(secret)
    missing = missing_step(begun_now) if begun_now else None
    onward = local_path(onward)
    if missing == "/sign-in/code" and onward != "/":
        missing = f"{missing}?next={quote(onward, safe='')}"
    response = redirect(missing or (onward if onward != "/" else home_of(account)))
    set_session(request, response, secret)
    if missing is None:
        remember_device(request, response, account)
    return response


def _sign_in_page(
    request: Request,
    context: AppContext,
    problem: str | None = None,
    status: int = 200,
    email: str = "",
) -> Response:
    web = context.settings.web
    return render_page(
        request,
        "sign_in.html",
        status,
        problem=problem,
        onward=request.query_params.get("next", ""),
        email=email,
        open_sign_up=web.open_sign_up,
        openid=web.oidc.name if web.oidc else None,
        mails=web.smtp_url is not None,
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
