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
    if session is None:
        return redirect("/sign-in")
    return redirect(missing_step(session) or home_of(session.account))


@router.get("/sign-in")
def ask_to_sign_in(request: Request, context: Context) -> Response:
    return _sign_in_page(request, context)


@router.post("/sign-in")
def sign_in(request: Request, context: Context, form: PostedOpenly) -> Response:
    """Check address and password.

    The answer is the same, and takes the same time, for a wrong password, a locked account and a
    disabled account.
    """
    context.rate_limiter.check(_TRIES_PER_MINUTE, "sign-in", _address(request))
    account = context.accounts.authenticate(
        form.text("email", 300), form.secret("password"), device_of(request)
    )
    if account is None:
        t = translations(language_of(request)).gettext
        problem = t(
            "Address or password is wrong. After several wrong tries an account is locked for 15 "
            "minutes."
        )
        return _sign_in_page(request, context, problem, 401, form.text("email", 300))
    return start_session(
        request, context, account, second_factor=False, next_path=form.text("next")
    )


@router.get("/sign-in/code")
def ask_for_code(request: Request, session: StartedSession) -> Response:
    if session.second_factor:
        return redirect("/")
    return render_page(request, "code.html", next_path=request.query_params.get("next", ""))


@router.post("/sign-in/code")
def give_code(
    request: Request, context: Context, session: StartedSession, form: PostedOpenly
) -> Response:
    """Check a one-time code; the session that follows has a new secret."""
    context.rate_limiter.check(_TRIES_PER_MINUTE, "code", session.account.account_id)
    if not context.second_factors.check(
        session.account.account_id, form.text("code", 20), device_of(request)
    ):
        problem = error_text(request, AccountRefused("wrong-code"))
        return render_page(request, "code.html", 401, problem=problem, next_path=form.text("next"))
    context.sessions.end(session.account.account_id, session.session_id)
    return start_session(
        request, context, session.account, second_factor=True, next_path=form.text("next")
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
    invitation = context.invitations.find(secret)
    has_account = context.accounts.by_email(invitation.email) is not None
    return render_page(
        request, "invitation.html", invitation=invitation, has_account=has_account, name=""
    )


@router.post("/invitation/{secret}")
def accept_invitation(
    request: Request, secret: str, context: Context, form: PostedOpenly
) -> Response:
    context.rate_limiter.check(_TRIES_PER_MINUTE, "invitation", _address(request))
    invitation = context.invitations.find(secret)
    has_account = context.accounts.by_email(invitation.email) is not None
    try:
        if form.secret("password") != form.secret("again"):
            raise PasswordRefused("different")
        name = form.text("name", 200) or ("-" if has_account else "")
        account = context.invitations.accept(
            secret, name, form.secret("password"), language_of(request)
        )
    except (PasswordRefused, AccountRefused) as error:
        return render_page(
            request,
            "invitation.html",
            problem=error,
            invitation=invitation,
            has_account=has_account,
            name=form.text("name", 200),
        )
    event = "account password changed" if has_account else "account opened"
    note_change(
        context,
        account,
        event,
        account.actor,
        invited_by=invitation.invited_by,
        roles=sorted(account.roles),
    )
    return start_session(request, context, account, second_factor=False, next_path="")


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
        return render_page(request, "mailed_link.html", problem=error, reason=reason)
    context.rate_limiter.check(_MAILS_PER_ADDRESS, "mail to", email)
    response = redirect("/sign-in", "mailed")
    # Sent after the answer, whose time must not reveal whether there is an account.
    response.background = BackgroundTask(
        _mail_if_allowed, context, email, language_of(request), reason
    )
    return response


def _mail_if_allowed(context: AppContext, email: str, language: str, reason: str) -> None:
    account = context.accounts.by_email(email)
    if account is not None and not account.disabled:
        _send_link(context, account.email, account.roles, account.language, has_account=True)
    elif account is None and reason == "sign-up":
        _send_link(context, email, (Role.RIGHTS_HOLDER,), language, has_account=False)


def _send_link(
    context: AppContext, email: str, roles: tuple[Role, ...], language: str, *, has_account: bool
) -> None:
    t = translations(language).gettext
    secret = context.invitations.create(email, roles, "the person")
    link = f"{context.settings.web.url}/invitation/{secret}"
    subject = t("Set a new password") if has_account else t("Open your account")
    text = t("Follow this link within a week: %(link)s") % {"link": link}
    more = t("If you did not ask for it, do nothing: without the link nothing changes.")
    context.outbox.mail(email, subject, f"{text}\n\n{more}\n")


def start_session(
    request: Request, context: AppContext, account: Account, *, second_factor: bool, next_path: str
) -> Response:
    """Start a new session, and end the one that the browser had before."""
    old = session_of(request)
    if old is not None:
        context.sessions.end(old.account.account_id, old.session_id)
    agent = request.headers.get("user-agent", "")
    secret = context.sessions.begin(
        account, second_factor=second_factor, agent=agent, address=_address(request)
    )
    session = context.sessions.session(secret)
    missing = missing_step(session) if session else None
    next_path = local_path(next_path)
    if missing == "/sign-in/code" and next_path != "/":
        missing = f"{missing}?next={quote(next_path, safe='')}"
    response = redirect(missing or (next_path if next_path != "/" else home_of(account)))
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
        next_path=request.query_params.get("next", ""),
        email=email,
        open_sign_up=web.open_sign_up,
        openid=web.oidc.name if web.oidc else None,
        can_mail=web.smtp_url is not None,
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
