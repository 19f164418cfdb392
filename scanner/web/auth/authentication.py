"""Who looks at a page: the session behind the cookie, what it may see, and in which language."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request

from reports.documents.translation import LANGUAGES
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account
from scanner.web.auth.lockout import DEVICE_S
from scanner.web.auth.sessions import LONGEST_S, Session
from scanner.web.context import app_context_of
from scanner.web.errors import Forbidden, SignedOut, StepMissing

_LANGUAGE_COOKIE = "language"


def _device_cookie(request: Request) -> str:
    return "__Host-device" if app_context_of(request).settings.web.secure else "device"


def session_cookie(request: Request) -> str:
    """The cookie's name; with https the browser itself then refuses one that another host or path set."""
    return "__Host-session" if app_context_of(request).settings.web.secure else "session"


def visiting(request: Request) -> Session | None:
    """The session of a request; None for a stranger. One that lacks its second factor counts as none but for that step."""
    secret = request.cookies.get(session_cookie(request))
    if not secret:
        return None
    if not hasattr(request.state, "session"):
        request.state.session = app_context_of(request).sessions.session(secret)
    session: Session | None = request.state.session
    return session


def begun(request: Request) -> Session:
    """Somebody who gave a password, and perhaps not yet a second factor; raises SignedOut."""
    session = visiting(request)
    if session is None:
        raise SignedOut("sign in to see this page")
    return session


def signed_in(request: Request) -> Session:
    """Somebody who is signed in wholly; raises SignedOut, StepMissing, TooManyRequests."""
    session = begun(request)
    app_context_of(request).must_be_within(600, "session", session.session_id)
    missing = missing_step(session)
    if missing is not None:
        raise StepMissing(missing)
    return session


def missing_step(session: Session) -> str | None:
    """Where somebody must go before anything else: to their code, or to a second factor that staff must have."""
    if session.second_factor:
        return None
    if session.account.totp_on:
        return "/sign-in/code"
    return "/account/second-factor" if session.account.is_staff else None


class Asking:
    """The check of a page that needs one of these permissions; raises Forbidden."""

    def __init__(self, *permissions: Permission) -> None:
        self.permissions = permissions

    def __call__(self, session: Annotated[Session, Depends(signed_in)]) -> Session:
        if not session.account.permissions & set(self.permissions):
            raise Forbidden("your account may not see this page")
        return session


def asks(*permissions: Permission) -> Any:
    """The dependency of a page that needs one of these permissions."""
    return Depends(Asking(*permissions))


def language_of(request: Request) -> str:
    """The page's language: as just chosen, as chosen before, as the account says, or as the browser prefers."""
    for told in (request.query_params.get("lang"), request.cookies.get(_LANGUAGE_COOKIE)):
        if told in LANGUAGES:
            return told
    session = getattr(request.state, "session", None)
    if session is not None:
        return str(session.account.language)
    preferred = request.headers.get("accept-language", "").lower()
    first = next(
        (
            part.split(";")[0].strip()
            for part in preferred.split(",")
            if part.strip()[:2] in ("zh", "en")
        ),
        "en",
    )
    return "zh-CN" if first.startswith("zh") else "en"


def set_session(request: Request, response: Any, secret: str) -> None:
    """Put a session into the browser."""
    secure = app_context_of(request).settings.web.secure
    response.set_cookie(
        session_cookie(request),
        secret,
        max_age=int(LONGEST_S),
        httponly=True,
        secure=secure,
        samesite="lax",
        path="/",
    )


def forget_session(request: Request, response: Any) -> None:
    """Take it out again."""
    secure = app_context_of(request).settings.web.secure
    response.delete_cookie(
        session_cookie(request), path="/", secure=secure, httponly=True, samesite="lax"
    )


def device_of(request: Request) -> str:
    """The secret of a browser that somebody signed in with before, "" for a stranger's; it lets nobody in."""
    return request.cookies.get(_device_cookie(request), "")[:100]


def remember_device(request: Request, response: Any, account: Account) -> None:
    """Let this browser try passwords of this account even while strangers' wrong tries lock it."""
    here = app_context_of(request)
    secret = here.accounts.lockout.trust(account.account_id, device_of(request))
    response.set_cookie(
        _device_cookie(request), secret, max_age=int(DEVICE_S), httponly=True, secure=here.settings.web.secure, samesite="lax",
        path="/",
    )  # fmt: skip


def set_language(response: Any, language: str) -> None:
    """Remember a chosen language; nothing is told by it."""
    response.set_cookie(
        _LANGUAGE_COOKIE, language, max_age=365 * 24 * 3600, samesite="lax", path="/"
    )


def local_path(told: str) -> str:
    """A place on this site to go on to, "/" for anything that could lead elsewhere."""
    fine = (
        told.startswith("/")
        and not told.startswith(("//", "/\\"))
        and told.isprintable()
        and "\\" not in told
    )
    return told if fine and len(told) < 500 else "/"


def sign_in_path(request: Request) -> str:
    """Where a stranger is sent who asked for a page."""
    if request.method != "GET" or request.url.path == "/":
        return "/sign-in"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/sign-in?next={quote(request.url.path + query, safe='')}"
