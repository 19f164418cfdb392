"""Errors of the web app; scanner.web.app turns each into a page or a problem document.

WebError
├── PasswordRefused     a new password is too short, too long or easily guessed
├── AccountRefused      an account cannot be created or changed this way
├── LinkExpired         an invitation or a mailed link has been used or has expired
├── SignedOut           nobody is signed in
├── Forbidden           the account lacks the permission
├── NotThere            not found, or not visible to this account: ids cannot be probed
├── FormExpired         the form's token is wrong: an old page, or another site's request
├── FormRefused         a form cannot be read, or a field is not valid
├── StepMissing         a one-time code must be entered or set up first
├── ProgramFailed       an error of the program
├── OpenIdRefused       an OpenID provider's answer does not sign anybody in
├── TooManyRequests     a rate limit is exceeded
└── GateRefused         the gate does not accept a file or a scan
"""

from __future__ import annotations


class WebError(Exception):
    """Root of the errors of the web app.

    `status` is the HTTP status; `code` is stable and meant for programs.
    """

    status = 400
    code = "bad-request"


class PasswordRefused(WebError):
    """A new password is refused; `why` is short, long or guessed."""

    code = "password-refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the password is not taken: {why}")
        self.why = why


class AccountRefused(WebError):
    """An account cannot be created or changed; `why` is a key of the messages of pages."""

    code = "account-refused"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class LinkExpired(WebError):
    """An invitation or a mailed link has been used or has expired."""

    status, code = 410, "link-expired"


class SignedOut(WebError):
    """Nobody is signed in."""

    status, code = 401, "signed-out"


class Forbidden(WebError):
    """The account lacks the permission."""

    status, code = 403, "forbidden"


class NotThere(WebError):
    """Not found, or not visible to this account."""

    status, code = 404, "not-found"


class FormExpired(WebError):
    """The form's token is wrong."""

    status, code = 403, "form-expired"


class FormRefused(WebError):
    """A form or its `field` is refused; `why` is a key of the messages of pages."""

    status, code = 422, "form-refused"

    def __init__(self, why: str, field: str = "") -> None:
        super().__init__(f"{field}: {why}" if field else why)
        self.why, self.field = why, field


class StepMissing(WebError):
    """Another page, at `path`, must be completed first."""

    status, code = 403, "step-missing"

    def __init__(self, path: str) -> None:
        super().__init__(f"go to {path} first")
        self.path = path


class ProgramFailed(WebError):
    """An error of the program; the details are in the log only."""

    status, code = 500, "failed"


class OpenIdRefused(WebError):
    """An OpenID provider gave no valid answer, or nobody with that address has an account."""

    status, code = 403, "openid-refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the OpenID provider's word lets nobody in: {why}")
        self.why = why


class TooManyRequests(WebError):
    """A rate limit is exceeded."""

    status, code = 429, "too-many-requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after_s} s")
        self.retry_after_s = max(1, retry_after_s)


class GateRefused(WebError):
    """The gate does not accept a file or a scan; the HTTP status says why."""

    def __init__(
        self, status: int, code: str, detail: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
