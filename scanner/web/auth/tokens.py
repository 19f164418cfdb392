"""API tokens at the door of a route: who asks, and whether the token may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from scanner.web.auth.access import Scope
from scanner.web.auth.sessions import Token
from scanner.web.context import app_context_of
from scanner.web.errors import Forbidden, SignedOut

BEARER = HTTPBearer(auto_error=False, description="A token of `portrait-scanner account token`.")
# Of one address, with tokens that are none: guessing one is hopeless, and should be cheap to refuse.
WRONG_TOKENS_PER_MINUTE = 60


def requires(scope: Scope) -> Any:
    """The dependency of a route that takes a token with that scope."""
    return Depends(checker_of(scope))


def checker_of(scope: Scope) -> Callable[..., Token]:
    """Checks a request's token; raises SignedOut, Forbidden, TooManyRequests."""

    def check(request: Request, credentials: Any = Depends(BEARER)) -> Token:  # noqa: B008  FastAPI's way
        app_context = app_context_of(request)
        token = app_context.sessions.token(credentials.credentials) if credentials else None
        if token is None:
            app_context.must_be_within(
                WRONG_TOKENS_PER_MINUTE, "wrong", request.client.host if request.client else ""
            )
            raise SignedOut(
                "send a token as `Authorization: Bearer psk_...`; this is none that counts"
            )
        app_context.must_be_within(
            app_context.settings.web.requests_per_minute, "token", token.token_id
        )
        if scope not in token.scopes:
            raise Forbidden(f"this token lacks the scope {scope}")
        return token

    return check
