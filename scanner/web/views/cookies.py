"""Cookies of the session and of known browsers."""

from __future__ import annotations

from fastapi import Request, Response

from scanner.web.auth.accounts import Account
from scanner.web.auth.authentication import device_cookie, session_cookie
from scanner.web.auth.lockout import DEVICE_S
from scanner.web.auth.sessions import LONGEST_S
from scanner.web.dependencies import app_context_of


def _is_secure(request: Request) -> bool:
    return app_context_of(request).settings.web.secure


def set_session(request: Request, response: Response, secret: str) -> None:
    """Store a session's secret in the browser."""
    secure = _is_secure(request)
    response.set_cookie(
        session_cookie(secure=secure),
        secret,
        max_age=int(LONGEST_S),
        httponly=True,
        secure=secure,
        samesite="lax",
        path="/",
    )


def delete_session(request: Request, response: Response) -> None:
    """Delete the session's cookie."""
    secure = _is_secure(request)
    response.delete_cookie(
        session_cookie(secure=secure), path="/", secure=secure, httponly=True, samesite="lax"
    )


def device_of(request: Request) -> str:
    """The secret of a known browser, "" for any other; it does not sign anybody in."""
    return request.cookies.get(device_cookie(secure=_is_secure(request)), "")[:100]


def remember_device(request: Request, response: Response, account: Account) -> None:
    """Make this a known browser of the account.

    It may then try passwords even while wrong tries from other browsers lock the account.
    """
    secure = _is_secure(request)
    lockout = app_context_of(request).accounts.lockout
    response.set_cookie(
        device_cookie(secure=secure),
        lockout.trust(account.account_id, device_of(request)),
        max_age=int(DEVICE_S),
        httponly=True,
        secure=secure,
        samesite="lax",
        path="/",
    )
