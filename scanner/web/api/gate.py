"""The upload gate: /api/v1/scans and /api/v1/verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from scanner.web.api.scan_requests import (
    request_from_json,
    request_from_upload,
    require_postable,
)
from scanner.web.api.schemas import Problem, ScanRequest, Sha256
from scanner.web.auth.access import Scope
from scanner.web.auth.tokens import Token
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_scope
from scanner.web.errors import NotThere
from scanner.web.queue.documents import (
    FindingDocument,
    ScanDocument,
    SearchDocument,
    VerdictDocument,
)
from scanner.web.queue.job import Job, JobKind, JobRequest, JobState
from scanner.web.queue.job_rows import MOST_LISTED
from scanner.web.queue.jobs import new_job_id
from scanner.web.queue.uploads import cancel_job
from scanner.web.queue.verdicts import ScanSerializer

JobId = Annotated[
    str,
    Path(pattern=r"^[0-9a-f]{24}$", description="The id that the answer to the scan request gave."),
]
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "The request is malformed."),
        (401, "The token is missing or has expired."),
        (403, "The token lacks the scope."),
        (413, "The upload is too large."),
        (422, "The request is valid but cannot be carried out."),
        (429, "Too many requests; see Retry-After."),
        (503, "The disk or the queue is full; see Retry-After."),
        (507, "The disk is full."),
    )
}
# Seconds; a search takes a minute for 10,000 files.
_RETRY_AFTER_S = "2"
_REFUSALS_AND_404: dict[int | str, dict[str, Any]] = {
    **_REFUSALS,
    404: {"model": Problem, "description": "This account has no such scan."},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": ScanRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "listing": {"type": "string", "description": "A DeclaredListing as JSON."},
                        "webhook": {"type": "string", "description": "As in the JSON body."},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_BODY["requestBody"]["content"]["application/json"]["schema"].pop("$defs", None)  # type: ignore[index]

# The descriptions that docs/openapi.json publishes.
_SCAN_DESCRIPTION = """\
Request a scan of a file: uploaded as a form or as plain bytes, or named by address or SHA-256 \
in JSON.

The answer is 200 with the verdict if the same file was scanned with the same words before and the \
registered people have not changed, or somebody was found in it, or the file is another form of \
one that a confirmed case is about. Otherwise it is 202. \
A SHA-256 must be that of a file which this account uploaded or which a crawled listing names."""
_VERDICT_DESCRIPTION = """\
The verdict on a file that was scanned before. `asked` in each finding holds the words it covers. \
Never starts a scan.

The file must be one that this account uploaded or that a crawled listing names. \
Every other SHA-256 is answered as unknown."""

router = APIRouter(prefix="/api/v1", tags=["gate"])


class ScanList(BaseModel):
    """Scans, newest first. `next` is `before` for the next page; null on the last page."""

    scans: list[ScanDocument]
    next: str | None


class FindingList(BaseModel):
    """Findings of a scan. `next` is `after` for the next page; null on the last page."""

    findings: list[FindingDocument]
    next: int | None


@router.post(
    "/scans",
    status_code=202,
    response_model=ScanDocument,
    responses={
        **_REFUSALS,
        200: {
            "model": ScanDocument,
            "description": "The file was scanned before; the answer holds its verdict.",
        },
    },
    openapi_extra=_BODY,
    description=_SCAN_DESCRIPTION,
)
async def ask_for_scan(
    request: Request,
    response: Response,
    context: Context,
    token: Annotated[Token, requires_scope(Scope.SCANS_WRITE)],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="Repeating a request with the same key returns the same scan.",
        ),
    ] = None,
    webhook: Annotated[
        str | None, Query(max_length=2_000, description="For uploads; as in the JSON body.")
    ] = None,
    name: Annotated[  # noqa: ARG001  read where the bytes are
        str | None,
        Query(max_length=1_000, description="The file's name, for an upload as plain bytes."),
    ] = None,
) -> ScanDocument:
    """Request a scan of an upload, an address or a SHA-256."""
    if request.headers.get("content-type", "").split(";")[0].strip() == "application/json":
        job_request = await request_from_json(request, token.account.account_id)
        job_id = None
    else:
        job_id = new_job_id()
        job_request = await request_from_upload(request, context, token, job_id, webhook)
    try:
        if job_request.webhook:
            require_postable(context, job_request.webhook)
        return await run_in_threadpool(
            _submit, context, token, job_request, idempotency_key, job_id, response
        )
    except BaseException:
        if job_request.kind == JobKind.UPLOAD:
            context.uploads.discard(job_request.source)
        raise


@router.get("/scans", response_model=ScanList, responses=_REFUSALS)
def list_scans(
    context: Context,
    token: Annotated[Token, requires_scope(Scope.SCANS_READ)],
    state: JobState | None = None,
    before: Annotated[str | None, Query(pattern=r"^[0-9a-f]{24}$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ScanList:
    """The account's scans, newest first."""
    jobs = context.jobs.newest(token.account.account_id, state, before, limit)
    serializer = _serializer(context, token)
    return ScanList(
        scans=[serializer.scan(job, MOST_LISTED) for job in jobs],
        next=jobs[-1].job_id if len(jobs) == limit else None,
    )


@router.get("/scans/{job_id}", response_model=ScanDocument, responses=_REFUSALS_AND_404)
def show_scan(
    job_id: JobId, context: Context, token: Annotated[Token, requires_scope(Scope.SCANS_READ)]
) -> ScanDocument:
    """One scan in its present state."""
    return _serializer(context, token).scan(_own_job(context, token, job_id))


@router.get("/scans/{job_id}/findings", response_model=FindingList, responses=_REFUSALS_AND_404)
def list_findings(
    job_id: JobId,
    context: Context,
    token: Annotated[Token, requires_scope(Scope.SCANS_READ)],
    after: Annotated[int, Query(ge=-1, lt=2**31)] = -1,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> FindingList:
    """All findings of a scan, in the order of its files."""
    _own_job(context, token, job_id)
    page = context.jobs.rows.page(job_id, after=after, limit=limit)
    return FindingList(
        findings=_serializer(context, token).findings(page.rows),
        next=page.last if page.is_full else None,
    )


@router.delete("/scans/{job_id}", response_model=ScanDocument, responses=_REFUSALS_AND_404)
def cancel_scan(
    job_id: JobId, context: Context, token: Annotated[Token, requires_scope(Scope.SCANS_WRITE)]
) -> ScanDocument:
    """Cancel a scan. A scan that has ended is not changed."""
    _own_job(context, token, job_id)
    return _serializer(context, token).scan(cancel_job(context.jobs, context.uploads, job_id))


@router.get(
    "/scans/{job_id}/events",
    response_class=EventSourceResponse,
    responses={
        **_REFUSALS_AND_404,
        200: {
            "content": {"text/event-stream": {}},
            "description": (
                "Events of type `progress`, the last of type `ended`. Each holds a scan."
            ),
        },
    },
)
async def follow_scan(
    job_id: JobId,
    request: Request,
    context: Context,
    token: Annotated[Token, requires_scope(Scope.SCANS_READ)],
) -> EventSourceResponse:
    """Progress as server-sent events, until the scan or the token ends."""
    await run_in_threadpool(_own_job, context, token, job_id)

    async def events() -> AsyncIterator[dict[str, str]]:
        last = ""
        while not await request.is_disconnected():
            if not await run_in_threadpool(context.tokens.is_valid, token):
                return
            job = await run_in_threadpool(context.jobs.get, job_id)
            document = (
                await run_in_threadpool(_serializer(context, token).scan, job)
            ).model_dump_json()
            if document != last:
                yield {"event": "ended" if job.ended else "progress", "data": document}
                last = document
            if job.ended:
                return
            await asyncio.sleep(0.5)

    return EventSourceResponse(events())


@router.get(
    "/verdicts/{sha256}",
    response_model=VerdictDocument,
    responses={
        **_REFUSALS,
        202: {
            "model": SearchDocument,
            "description": (
                "People have registered or left, and the search for them is under way; see "
                "Retry-After."
            ),
        },
        404: {
            "model": Problem,
            "description": (
                "The file was not scanned for the people who are registered now. Request a scan."
            ),
        },
    },
    description=_VERDICT_DESCRIPTION,
)
def known_verdict(
    sha256: Sha256, context: Context, token: Annotated[Token, requires_scope(Scope.SCANS_READ)]
) -> VerdictDocument | Response:
    """The existing verdict on bytes that the account may ask about."""
    digest, account_id = sha256.lower(), token.account.account_id
    # Asked first: if the search ends between the two, there is a verdict.
    awaits_search = context.known_files.awaits_search(digest, account_id)
    rows = context.known_files.rows_of(digest, account_id)
    if rows is not None:
        return _serializer(context, token).verdict(rows)
    if awaits_search:
        document = SearchDocument(sha256=digest).model_dump()
        return JSONResponse(document, status_code=202, headers={"Retry-After": _RETRY_AFTER_S})
    raise NotThere(
        "these bytes were not judged for the people who are registered now; ask for a scan"
    )


def _serializer(context: AppContext, token: Token) -> ScanSerializer:
    return ScanSerializer(
        context.settings.web.url, context.standings, with_names=Scope.NAMES_READ in token.scopes
    )


def _own_job(context: AppContext, token: Token, job_id: str) -> Job:
    """A scan of the token's account; raises NotThere for another account's, as for none."""
    job = context.jobs.get(job_id)
    if job.account_id != token.account.account_id:
        raise NotThere(f"no job has the id {job_id!r}")
    return job


def _submit(
    context: AppContext,
    token: Token,
    job_request: JobRequest,
    key: str | None,
    job_id: str | None,
    response: Response,
) -> ScanDocument:
    known = context.known_files.rows_for(job_request)
    if known is None and context.derived_uploads.may_derive(job_request):
        with context.services.acquire(token.account.actor) as service:
            known = context.derived_uploads.rows_for(job_request, service)
    job, new = context.jobs.submit(job_request, key, job_id, known)
    if job_request.kind == JobKind.UPLOAD and (not new or job.ended):
        context.uploads.discard(job_request.source)
    if job.ended:
        response.status_code = 200
    response.headers["Location"] = f"/api/v1/scans/{job.job_id}"
    return _serializer(context, token).scan(job)
