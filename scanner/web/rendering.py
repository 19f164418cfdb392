"""Pages: Jinja2 templates in the reader's language, under a strict content security policy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from reports.documents.translation import translations as report_translations
from reports.documents.words import Translate, known_words, statement_words
from reports.reasons.reason import reasons_in_words
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account
from scanner.web.dependencies import session_of
from scanner.web.messages import done_sentences, problem_sentence
from scanner.web.translation import LANGUAGES, language_of, set_language, translations

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The pages of the menu, in order, with the permission that each needs.
_MENU = {
    "/likeness": Permission.LIKENESS,
    "/cases": Permission.CASES_READ,
    "/captures": Permission.CASES_READ,
    "/held": Permission.CASES_DECIDE,
    "/notices": Permission.NOTICES,
    "/scans": Permission.SCANS_READ,
    "/registrations": Permission.REGISTRATIONS,
    "/transparency": Permission.TRANSPARENCY,
    "/accounts": Permission.ACCOUNTS,
    "/audit": Permission.AUDIT,
}


def menu_of(account: Account, t: Translate) -> list[tuple[str, str]]:
    """The menu of an account: paths and labels."""
    labels = {
        "/likeness": t("Likeness"),
        "/cases": t("Cases"),
        "/captures": t("Captures"),
        "/held": t("Held files"),
        "/notices": t("Notices"),
        "/scans": t("Scans"),
        "/registrations": t("Registrations"),
        "/transparency": t("Transparency"),
        "/accounts": t("Accounts"),
        "/audit": t("Audit log"),
    }
    return [(path, labels[path]) for path, needed in _MENU.items() if account.may(needed)]


def role_words(t: Translate) -> dict[str, str]:
    """The labels of roles."""
    return {
        "rights-holder": t("rights holder"),
        "agent": t("agent"),
        "reviewer": t("reviewer"),
        "legal": t("legal"),
        "operator": t("operator"),
        "auditor": t("auditor"),
        "admin": t("administrator"),
    }


def home_of(account: Account) -> str:
    """The first page that an account may open."""
    return next((path for path, needed in _MENU.items() if account.may(needed)), "/account")


def render_page(
    request: Request,
    template: str,
    status: int = 200,
    *,
    problem: Exception | str | None = None,
    **template_values: Any,
) -> HTMLResponse:
    """Render a template as a response.

    Args:
        problem: what the page says first; an exception, which refused a form, makes the status 422.
    """
    if isinstance(problem, Exception):
        status, problem = HTTPStatus.UNPROCESSABLE_ENTITY, error_text(request, problem)
    language = language_of(request)
    session = session_of(request)
    t = translations(language).gettext
    done = done_sentences(t).get(request.query_params.get("done", ""))
    values = {
        "language": language,
        "languages": LANGUAGES,
        "session": session,
        "account": session.account if session else None,
        "csrf": session.csrf if session else "",
        "menu": menu_of(session.account, t) if session else [],
        "path": request.url.path,
        "page_address": _without_language(request),
        "done": done,
        "problem": problem,
        "role_words": role_words(t),
        "static": static_path,
        "host": request.url.hostname,
    }
    html = environment(language).get_template(template).render({**values, **template_values})
    # With no-referrer browsers would send `Origin: null` with forms, which does not say where the
    # form comes from.
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "same-origin"}
    response = HTMLResponse(html, status, headers=headers)
    if request.query_params.get("lang") in LANGUAGES:
        set_language(response, language)
    return response


def redirect(path: str, done: str = "") -> RedirectResponse:
    """Redirect the browser after a form; `done` selects the message that the next page shows."""
    separator = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{separator}done={done}" if done else path, 303)


def error_text(request: Request, error: Exception) -> str:
    """The text of an error in the reader's language."""
    return problem_sentence(error, translations(language_of(request)).gettext)


def whole_number(text: str | None) -> int | None:
    """A number of a query parameter; None if it is not a number that a database accepts."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _without_language(request: Request) -> str:
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("lang", "done")
    ]
    query = "&".join(f"{name}={value}" for name, value in kept if value.isalnum())
    return f"{request.url.path}?{query}&" if query else f"{request.url.path}?"


@cache
def environment(language: str) -> Environment:
    """Jinja2 with the catalogue of a language; an undefined name in a template is an error."""
    env = Environment(
        loader=PackageLoader("scanner.web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # a running program must not load the templates of a newer version
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    env.filters["day"] = lambda value: str(value)[:10]
    env.filters["minute"] = _minute
    env.filters["score"] = lambda value: "–" if value is None else f"{round(value, 2) + 0.0:.2f}"
    env.filters["whole"] = lambda value: "–" if value is None else f"{value:,}"
    env.filters["size"] = _size
    env.filters["short"] = _short
    # Stored sentences are English; a page says them in its own language.
    words = report_translations(language).gettext
    env.filters["reason"] = lambda text: reasons_in_words(text, words)
    env.filters["sentence"] = lambda text: known_words(text, words)
    env.filters["statement"] = lambda text, subject: statement_words(subject, text, language)
    return env


def _short(name: str) -> str:
    """The name of a scan; a scan by SHA-256 has the hash as its name."""
    return f"{name[:12]}…" if re.fullmatch("[0-9a-f]{64}", name) else name


def _minute(value: str | datetime | float | None) -> str:
    if value is None:
        return "–"
    at = datetime.fromtimestamp(value).astimezone() if isinstance(value, int | float) else value
    text = at.isoformat() if isinstance(at, datetime) else str(at)
    return text[:16].replace("T", " ")


def _size(value: int | None) -> str:
    if value is None:
        return "–"
    size = float(value)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


@cache
def _static_versions() -> Mapping[str, str]:
    folder = resources.files("scanner.web").joinpath("static")
    return {
        item.name: hashlib.sha256(item.read_bytes()).hexdigest()[:12]
        for item in folder.iterdir()
        if item.is_file()
    }


def static_path(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may cache it."""
    return f"/static/{name}?v={_static_versions()[name]}"
