"""Rules of signing in: the names of cookies, the step that is still missing, where to go next."""

from __future__ import annotations

from urllib.parse import quote

from scanner.web.auth.sessions import Session


def session_cookie(*, secure: bool) -> str:
    """The name of the session cookie.

    With https the prefix makes browsers refuse a cookie that another host or path has set.
    """
    return "__Host-session" if secure else "session"


def device_cookie(*, secure: bool) -> str:
    """The name of the cookie that marks a browser as known, see `Lockout`."""
    return "__Host-device" if secure else "device"


def missing_step(session: Session) -> str | None:
    """The page that must be completed first; None if the session is complete.

    A one-time code is asked for where one is set up, and staff must set one up.
    """
    if session.second_factor:
        return None
    if session.account.totp_on:
        return "/sign-in/code"
    return "/account/second-factor" if session.account.is_staff else None


def local_path(path: str) -> str:
    """A path on this site, or "/" if `path` could lead to another one."""
    is_local = (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isprintable()
        and "\\" not in path
        and len(path) < 500
    )
    return path if is_local else "/"


def sign_in_path(method: str, path: str, query: str) -> str:
    """Where a browser that is not signed in is sent, with the page that it asked for."""
    if method != "GET" or path == "/":
        return "/sign-in"
    wanted = f"{path}?{query}" if query else path
    return f"/sign-in?next={quote(wanted, safe='')}"
