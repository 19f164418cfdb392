"""The texts of the web app in English and Simplified Chinese, and the language of a request."""

from __future__ import annotations

import gettext
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from reports.documents.translation import LANGUAGES, catalogue_of

__all__ = ["LANGUAGES", "language_of", "set_language", "translations"]

_COOKIE = "language"


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of a language, one of LANGUAGES; the texts in the code are English."""
    return catalogue_of("scanner.web", "web", language)


def language_of(request: Request) -> str:
    """The language of a page: the first of choice, cookie, account and browser that names one."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    session = getattr(request.state, "session", None)
    if session is not None:
        return str(session.account.language)
    accepted = request.headers.get("accept-language", "").lower().split(",")
    codes = (part.split(";")[0].strip() for part in accepted)
    preferred = next((code for code in codes if code[:2] in ("zh", "en")), "en")
    return "zh-CN" if preferred.startswith("zh") else "en"


def set_language(response: Response, language: str) -> None:
    """Store a chosen language in the browser."""
    response.set_cookie(_COOKIE, language, max_age=365 * 24 * 3600, samesite="lax", path="/")
