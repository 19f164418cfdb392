"""Dependencies of routes: the app context, the session of a browser, the token of a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from scanner.web.auth.access import Permission, Scope
from scanner.web.auth.authentication import missing_step, session_cookie
from scanner.web.auth.sessions import Session
from scanner.web.auth.tokens import Token
from scanner.web.context import AppContext
from scanner.web.errors import Forbidden, SignedOut, StepMissing

BEARER = HTTPBearer(auto_error=False, description="A token of `portrait-scanner account token`.")
SESSION_REQUESTS_PER_MINUTE = 600
# Per address, for tokens that are not valid: guessing is hopeless and must be cheap to refuse.
WRONG_TOKENS_PER_MINUTE = 60


def app_context_of(request: Request) -> AppContext:
    """The context of the app that serves a request."""
    app_context: AppContext = request.app.state.app_context
    return app_context


def session_of(request: Request) -> Session | None:
    """The session of a request's cookie; None if nobody is signed in.

    The second factor may still be missing: only `signed_in` checks that.
    """
    context = app_context_of(request)
    secret = request.cookies.get(session_cookie(secure=context.settings.web.secure))
    if not secret:
        return None
    if not hasattr(request.state, "session"):
        request.state.session = context.sessions.session(secret)
    session: Session | None = request.state.session
    return session


def started_session(request: Request) -> Session:
    """A session that may still lack its second factor; raises SignedOut."""
    session = session_of(request)
    if session is None:
        raise SignedOut("sign in to see this page")
    return session


def signed_in(request: Request) -> Session:
    """A session with every step completed; raises SignedOut, StepMissing, TooManyRequests."""
    session = started_session(request)
    app_context_of(request).rate_limiter.check(
        SESSION_REQUESTS_PER_MINUTE, "session", session.session_id
    )
    missing = missing_step(session)
    if missing is not None:
        raise StepMissing(missing)
    return session


class PermissionCheck:
    """Checks that the account has at least one of these permissions; raises Forbidden."""

    def __init__(self, *permissions: Permission) -> None:
        self.permissions = permissions

    def __call__(self, session: Annotated[Session, Depends(signed_in)]) -> Session:
        if not session.account.permissions & set(self.permissions):
            raise Forbidden("your account may not see this page")
        return session


def requires_permission(*permissions: Permission) -> Any:
    """The dependency of a page that needs one of these permissions."""
    return Depends(PermissionCheck(*permissions))


def requires_scope(scope: Scope) -> Any:
    """The dependency of an API route that needs a token with this scope."""
    return Depends(_scope_check(scope))


def _scope_check(scope: Scope) -> Callable[..., Token]:
    """A check of a request's token; it raises SignedOut, Forbidden, TooManyRequests."""

    def check(request: Request, credentials: Any = Depends(BEARER)) -> Token:  # noqa: B008  FastAPI's way
        context = app_context_of(request)
        token = context.tokens.find(credentials.credentials) if credentials else None
        if token is None:
            context.rate_limiter.check(
                WRONG_TOKENS_PER_MINUTE, "wrong", request.client.host if request.client else ""
            )
            raise SignedOut(
                "send a valid token as `Authorization: Bearer psk_...`; this one is not valid"
            )
        context.rate_limiter.check(
            context.settings.web.requests_per_minute, "token", token.token_id
        )
        if scope not in token.scopes:
            raise Forbidden(f"this token lacks the scope {scope}")
        return token

    return check


Context = Annotated[AppContext, Depends(app_context_of)]
StartedSession = Annotated[Session, Depends(started_session)]
SignedIn = Annotated[Session, Depends(signed_in)]
