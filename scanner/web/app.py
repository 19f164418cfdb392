"""The web app: its routes, and every error as a page or a problem document (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware

from face_index.errors import FaceIndexError
from reports.errors import ReportError
from scanner.clock import Clock, utc_now
from scanner.errors import ScanError
from scanner.settings import Settings
from scanner.web.api import cases, gate, operations
from scanner.web.auth.authentication import sign_in_path
from scanner.web.context import AppContext
from scanner.web.dependencies import app_context_of
from scanner.web.errors import NotThere, ProgramFailed, SignedOut, StepMissing, WebError
from scanner.web.rendering import error_text, redirect, render_page
from scanner.web.store import web_key
from scanner.web.views import (
    administration,
    captures,
    enrolling,
    held_files,
    likeness,
    notices,
    openid,
    own_account,
    own_cases,
    registrations,
    review,
    scans,
    signing_in,
)

# A page adds what it needs to these; JSON must not be interpreted as anything else.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ROUTES = (
    gate,
    cases,
    operations,
    signing_in,
    openid,
    own_account,
    enrolling,
    likeness,
    own_cases,
    review,
    captures,
    held_files,
    notices,
    scans,
    registrations,
    administration,
)

log = logging.getLogger(__name__)


def create_app(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """Build the app for one home folder. It opens web.db when it starts, and loads no model."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.app_context = AppContext(settings, clock)
        try:
            yield
        finally:
            app.state.app_context.close()

    app = FastAPI(
        title="portrait-scanner",
        version=version("portrait-scanner"),
        description="Finds whose face a public image model was trained to reproduce.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads scripts from another site
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        separate_input_output_schemas=False,
    )
    for module in _ROUTES:
        app.include_router(module.router)
    app.mount("/static", StaticFiles(packages=[("scanner.web", "static")]))
    app.add_exception_handler(WebError, _web_error)
    for expected in (FaceIndexError, ReportError, ScanError):
        app.add_exception_handler(expected, _package_error)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    if settings.web.oidc is not None:
        app.add_middleware(
            SessionMiddleware,
            secret_key=web_key(settings.web_key_path).hex(),
            session_cookie="openid",
            max_age=600,
            path="/sign-in/openid",
            same_site="lax",
            https_only=settings.web.secure,
        )
    app.add_exception_handler(Exception, _program_error)
    app.middleware("http")(_with_headers(settings))
    # FastAPI's documented way to change the schema.
    app.openapi = lambda: _openapi_schema(app)  # type: ignore[method-assign]
    return app


def _openapi_schema(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI schema, with refusals described as problem documents."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    content = response.get("content", {})
                    schema = content.get("application/json", {}).get("schema", {})
                    if str(status) >= "400" and schema.get("$ref", "").endswith("/Problem"):
                        response["content"] = {"application/problem+json": {"schema": schema}}
    return app.openapi_schema


def _with_headers(settings: Settings) -> Callable[..., Awaitable[Response]]:
    async def add(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        if request.url.path.startswith("/static/") and response.status_code == HTTPStatus.OK:
            # The address of a static file contains its hash.
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        _add_headers(response, settings)
        return response

    return add


def _add_headers(response: Response, settings: Settings) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if settings.web.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")


async def _web_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, WebError):
        raise error
    if not _expects_json(request):
        if isinstance(error, StepMissing):
            return redirect(error.path)
        if isinstance(error, SignedOut):
            return redirect(sign_in_path(request.method, request.url.path, request.url.query))
        return await run_in_threadpool(_error_page, request, error, error.status)
    headers = {}
    if retry := getattr(error, "retry_after_s", None):
        headers["Retry-After"] = str(retry)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _problem(error.status, error.code, str(error), headers)


def _expects_json(request: Request) -> bool:
    """Whether a request expects JSON: the API, monitoring, and the scripts of our own pages."""
    if request.url.path.startswith(("/api/", "/healthz", "/readyz", "/metrics")):
        return True
    return "application/json" in request.headers.get("accept", "")


def _error_page(request: Request, error: Exception, status: int) -> Response:
    return render_page(
        request, "error.html", status, problem=error_text(request, error), code=status
    )


async def _package_error(request: Request, error: Exception) -> Response:
    """Answer an error of another package that no page has handled."""
    if _expects_json(request):
        return _problem(409, "refused", str(error), {})
    return await run_in_threadpool(_error_page, request, error, 409)


async def _program_error(request: Request, error: Exception) -> Response:
    """Answer a program error without saying what it was; Starlette writes it to the log."""
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    if _expects_json(request):
        response: Response = _problem(
            500, "failed", "this is a mistake of the program's; it was written to its log", {}
        )
    else:
        response = await run_in_threadpool(_error_page, request, ProgramFailed(), 500)
    # Starlette answers this error outside of the middleware that adds the headers.
    _add_headers(response, app_context_of(request).settings)
    return response


async def _framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if not _expects_json(request):
        problem = NotThere("") if error.status_code == HTTPStatus.NOT_FOUND else error
        return await run_in_threadpool(_error_page, request, problem, error.status_code)
    return _problem(error.status_code, "http", str(error.detail), dict(error.headers or {}))


async def _validation_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    detail = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )
    return _problem(422, "not-valid", detail[:500], {})


def _problem(status: int, code: str, detail: str, headers: dict[str, str]) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")
