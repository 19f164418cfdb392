"""What can go wrong between a browser and the program; scanner.web.app turns each into a page or a JSON problem.

WebError
├── PasswordRefused     a new password is too short, too long or easily guessed
├── AccountRefused      an account cannot be made or changed so
├── LinkExpired         an invitation or a link from a mail is no longer good
├── SignedOut           nobody is signed in
├── Forbidden           somebody is, and may not
├── NotThere            no such thing, or none that this person may see: the same answer, so that ids cannot be tried
├── FormExpired         the form's token does not fit: an old page, or another site's request
├── FormRefused         a form cannot be read, or a field of it is not as it must be
├── StepMissing         somebody must give a code, or set one up, before anything else
├── ProgramFailed       a mistake of ours
├── OpenIdRefused       an OpenID provider's word lets nobody in
├── TooManyRequests     come again later
└── GateRefused         a file or a scan that the gate does not take as it came
"""

from __future__ import annotations


class WebError(Exception):
    """Root of the errors of the web app; `status` is HTTP's, `code` is stable and for programs."""

    status = 400
    code = "bad-request"


class PasswordRefused(WebError):
    """A new password is not taken; `why` is short, long or guessed."""

    code = "password-refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the password is not taken: {why}")
        self.why = why


class AccountRefused(WebError):
    """An account cannot be made or changed so; `why` is a word that the page puts into a sentence."""

    code = "account-refused"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class LinkExpired(WebError):
    """An invitation or a link from a mail is no longer good."""

    status, code = 410, "link-expired"


class SignedOut(WebError):
    """Nobody is signed in."""

    status, code = 401, "signed-out"


class Forbidden(WebError):
    """Somebody is signed in, and may not."""

    status, code = 403, "forbidden"


class NotThere(WebError):
    """No such thing, or none that this person may see."""

    status, code = 404, "not-found"


class FormExpired(WebError):
    """The form's token does not fit."""

    status, code = 403, "form-expired"


class FormRefused(WebError):
    """A form or a field cannot be taken; `why` is a word that the page puts into a sentence, `field` names it."""

    status, code = 422, "form-refused"

    def __init__(self, why: str, field: str = "") -> None:
        super().__init__(f"{field}: {why}" if field else why)
        self.why, self.field = why, field


class StepMissing(WebError):
    """Somebody must go to `path` before anything else."""

    status, code = 403, "step-missing"

    def __init__(self, path: str) -> None:
        super().__init__(f"go to {path} first")
        self.path = path


class ProgramFailed(WebError):
    """A mistake of ours; what it was is in the log and nowhere else."""

    status, code = 500, "failed"


class OpenIdRefused(WebError):
    """An OpenID provider did not answer as it must, or knows nobody who has an account here."""

    status, code = 403, "openid-refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the OpenID provider's word lets nobody in: {why}")
        self.why = why


class TooManyRequests(WebError):
    """Come again later."""

    status, code = 429, "too-many-requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after_s} s")
        self.retry_after_s = max(1, retry_after_s)


class GateRefused(WebError):
    """A file or a scan that the gate does not take as it came, with the HTTP status that says why."""

    def __init__(self, status: int, code: str, told: str, retry_after_s: int | None = None) -> None:
        super().__init__(told)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
