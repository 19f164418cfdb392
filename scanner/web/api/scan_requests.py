"""Requests for scans: read from JSON or an upload, and checked."""

from __future__ import annotations

import json

import httpx
from fastapi import Request
from pydantic import ValidationError

from crawlers.errors import DestinationRefused, HubError
from crawlers.http.destinations import refuse_credentials
from scanner.web.api.schemas import DeclaredListing, ScanRequest
from scanner.web.auth.tokens import Token
from scanner.web.context import AppContext
from scanner.web.errors import GateRefused
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.outbox import must_be_postable

_MAX_JSON_BYTES = 100_000


async def request_from_json(request: Request, account_id: str) -> JobRequest:
    """The request for an address or a SHA-256; raises GateRefused."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise GateRefused(413, "too-large", "the JSON document is longer than 100 kB")
    try:
        document = ScanRequest.model_validate_json(bytes(body))
    except ValidationError as error:
        raise GateRefused(422, "not-valid", _error_detail(error)) from error
    if (document.url is None) == (document.sha256 is None):
        raise GateRefused(422, "not-valid", "give one of `url` and `sha256`")
    declared = document.listing.model_dump(exclude_defaults=True) if document.listing else {}
    if document.url is not None:
        try:
            refuse_credentials(document.url)
        except HubError as error:
            raise GateRefused(422, "not-valid", f"url: {error}") from error
        return JobRequest(
            account_id,
            JobKind.URL,
            document.url,
            document.url,
            declared=declared,
            webhook=document.webhook,
        )
    sha256 = str(document.sha256).lower()
    return JobRequest(
        account_id,
        JobKind.SHA256,
        sha256,
        sha256,
        sha256,
        declared=declared,
        webhook=document.webhook,
    )


async def request_from_upload(
    request: Request, context: AppContext, token: Token, job_id: str, webhook: str | None
) -> JobRequest:
    """Receive an upload, and make the request to scan it; raises GateRefused."""
    upload = await context.uploads.receive(request, job_id)
    try:
        listing = DeclaredListing.model_validate(
            json.loads(upload.declared) if upload.declared else {}
        )
    except (ValueError, RecursionError) as error:
        context.uploads.discard(str(upload.path))
        raise GateRefused(422, "not-valid", f"listing: {_error_detail(error)}") from error
    context.derived_uploads.remember(upload)
    declared = listing.model_dump(exclude_defaults=True)
    return JobRequest(
        token.account.account_id,
        JobKind.UPLOAD,
        str(upload.path),
        upload.name,
        upload.sha256,
        upload.size_bytes,
        declared,
        webhook or upload.webhook or None,
    )


def require_postable(context: AppContext, url: str) -> None:
    """Refuse at once what the outbox would refuse later; names are resolved again when posting."""
    if context.settings.webhook_secret is None:
        raise GateRefused(
            422,
            "no-webhook-secret",
            "set webhook_secret on the server, so that receivers can check who posts",
        )
    try:
        must_be_postable(url, context.settings.allowed_hosts)
    except (DestinationRefused, httpx.InvalidURL) as error:
        raise GateRefused(422, "webhook-refused", f"webhook: {error}") from error


def _error_detail(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )[:500]
    return str(error)[:300]
