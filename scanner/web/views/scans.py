"""Scans: their progress and results, and new ones of files, folders, buckets and hubs."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from crawlers.errors import HubError
from crawlers.http.destinations import is_address, refuse_credentials
from crawlers.hubs.registry import REMOTE_HUBS
from crawlers.hubs.storage import is_storage
from scanner.casework.exports import csv_lines
from scanner.identification.outcome import Outcome
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormExpired, FormRefused, WebError
from scanner.web.forms import Posted, has_form_token, require_same_origin
from scanner.web.queue.documents import FindingDocument, ScanDocument
from scanner.web.queue.health import worker_is_running
from scanner.web.queue.job import JobKind, JobRequest, JobState
from scanner.web.queue.job_rows import MOST_LISTED, MOST_SHOWN
from scanner.web.queue.jobs import new_job_id
from scanner.web.queue.uploads import cancel_job
from scanner.web.queue.verdicts import ScanSerializer
from scanner.web.rendering import redirect, render_page, whole_number
from scanner.web.translation import language_of
from scanner.web.views.case_views import page_words
from scanner.web.views.downloads import attachment

router = APIRouter(include_in_schema=False, prefix="/scans")
Reader = Annotated[Session, requires_permission(Permission.SCANS_READ)]
Writer = Annotated[Session, requires_permission(Permission.SCANS_WRITE)]
_PAGE_SIZE = 50


@router.get("")
def listed(request: Request, context: Context, session: Reader) -> Response:
    return _list_page(request, context, session)


@router.post("")
def begin(request: Request, context: Context, session: Writer, form: Posted) -> Response:
    """Request a scan of an address, a SHA-256, a hub, or an allowed folder or bucket."""
    try:
        job_request = job_request_of(
            form.text("target", 2_000), session.account.account_id, context.settings.web.scan_roots
        )
        job, _ = context.jobs.submit(job_request, known=context.known_files.rows_for(job_request))
    except WebError as error:
        return _list_page(request, context, session, error, form.text("target", 2_000))
    return redirect(f"/scans/{job.job_id}", "queued")


@router.post("/file")
async def send_file(request: Request, context: Context, session: Writer) -> Response:
    """Receive a file, streamed to disk; the page's script sends it with the token in a header."""
    require_same_origin(request)
    if not has_form_token(request, session):
        raise FormExpired("this page is older than your sign-in")
    job_id = new_job_id()
    upload = await context.uploads.receive(request, job_id)
    job_request = JobRequest(
        session.account.account_id,
        JobKind.UPLOAD,
        str(upload.path),
        upload.name,
        upload.sha256,
        upload.size_bytes,
    )
    try:
        known = await run_in_threadpool(context.known_files.rows_for, job_request)
        job, _ = await run_in_threadpool(context.jobs.submit, job_request, None, job_id, known)
    except BaseException:
        context.uploads.discard(job_request.source)
        raise
    if job.ended:
        context.uploads.discard(job_request.source)
    return JSONResponse({"path": f"/scans/{job.job_id}"})


@router.get("/{job_id}")
def show(request: Request, job_id: str, context: Context, session: Reader) -> Response:
    """One scan with its results; the address holds the filters."""
    job = context.jobs.get(job_id)
    scan = _serializer(context, session).scan(job)
    filters = {name: request.query_params.get(name, "")[:200] for name in ("outcome", "q")}
    after = whole_number(request.query_params.get("after"))
    serializer = _serializer(context, session)
    shown, following = _findings_page(context, serializer, job_id, filters, after)
    counts: Mapping[str, int] = {}
    if scan.verdict and not scan.verdict.more_findings:
        # Decisions about cases count, and lines that this reader does not get do not.
        counts = Counter(str(finding.outcome) for finding in scan.verdict.findings)
    elif serializer.with_names:
        counts = context.jobs.rows.counts(job_id)
    return render_page(
        request,
        "scan.html",
        words=page_words(language_of(request)),
        job=job,
        scan=scan,
        findings=shown,
        counts={str(outcome): counts.get(str(outcome), 0) for outcome in Outcome},
        filters=filters,
        following=following,
        outcomes=list(Outcome),
        messages=context.outbox.messages_of_job(job_id),
        captured=bool(job.sha256) and (context.settings.captures_path / str(job.sha256)).is_dir(),
        may_cancel=session.account.may(Permission.SCANS_WRITE),
        may_read=session.account.may(Permission.CASES_READ),
    )


@router.get("/{job_id}/results.csv")
def results(job_id: str, context: Context, session: Reader) -> Response:
    """The rows as a table for a spreadsheet, sent as they are read."""
    job, serializer = context.jobs.get(job_id), _serializer(context, session)
    rows = (
        {
            **finding.model_dump(),
            "identity": finding.identity_name,
            "scan_id": job.scan_id,
            "target": job.name,
        }
        for page in context.jobs.row_pages(job_id)
        for finding in serializer.findings(page.rows)
    )
    lines = csv_lines(({name: row.get(name) for name in _COLUMNS} for row in rows), _COLUMNS)
    return attachment(lines, f"scan-{job.job_id}.csv", "text/csv; charset=utf-8")


@router.post("/{job_id}/cancel")
def cancel(
    job_id: str,
    context: Context,
    session: Writer,  # noqa: ARG001  checks the permission
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    cancel_job(context.jobs, context.uploads, job_id)
    return redirect(f"/scans/{job_id}", "cancelled")


@router.get("/{job_id}/events")
async def follow(
    job_id: str, request: Request, context: Context, session: Reader
) -> EventSourceResponse:
    """The progress of a scan as server-sent events, until it or the session ends."""
    await run_in_threadpool(context.jobs.get, job_id)

    async def events() -> AsyncIterator[dict[str, str]]:
        last = ""
        while not await request.is_disconnected():
            if not await run_in_threadpool(context.sessions.is_valid, session):
                return
            job = await run_in_threadpool(context.jobs.get, job_id)
            progress = {name: getattr(job, name) for name in ("state", "done", "total", "doing")}
            data = json.dumps(progress, ensure_ascii=False, separators=(",", ":"))
            if data != last:
                yield {"event": "ended" if job.ended else "progress", "data": data}
                last = data
            if job.ended:
                return
            await asyncio.sleep(0.5)

    return EventSourceResponse(events())


_COLUMNS = (
    "scan_id",
    "target",
    "file",
    "sha256",
    "outcome",
    "identity",
    "score",
    "threshold",
    "lift",
    "samples",
    "authorised",
    "case_id",
    "reason",
)


def job_request_of(target: str, account_id: str, roots: tuple[str, ...]) -> JobRequest:
    """The request for a target that somebody typed; raises FormRefused if it is not allowed."""
    if not target:
        raise FormRefused("no-answer", "target")
    if re.fullmatch(r"[0-9a-fA-F]{64}", target):
        return JobRequest(
            account_id, JobKind.SHA256, target.lower(), target.lower(), target.lower()
        )
    try:
        refuse_credentials(target)
    except HubError as error:
        raise FormRefused("outside", target.rpartition("@")[2]) from error
    if is_address(target):
        return JobRequest(account_id, JobKind.URL, target, target)
    name, _, host = target.partition("=")
    if name in REMOTE_HUBS and (not host or is_address(host)):
        return JobRequest(account_id, JobKind.TARGET, target, target)
    if is_storage(target):
        if not _is_allowed_storage(target, [root for root in roots if is_storage(root)]):
            raise FormRefused("outside", target)
        return JobRequest(account_id, JobKind.TARGET, target, target)
    if "\0" in target or "/../" in f"{target}/":
        raise FormRefused("outside", target)
    path = Path(target)
    allowed = [Path(root).resolve() for root in roots if not is_storage(root)]
    if not path.is_absolute() or not any(path.resolve().is_relative_to(root) for root in allowed):
        raise FormRefused("outside", target)
    return JobRequest(account_id, JobKind.TARGET, str(path.resolve()), str(path))


def _is_allowed_storage(target: str, roots: Sequence[str]) -> bool:
    """Whether a bucket or folder of a storage is one of the roots or below one."""
    if re.search(r"/\.\.?(/|$)|%2e|[\\?#*\[]", target, re.IGNORECASE):
        return False
    return any(target == root or target.startswith(root.rstrip("/") + "/") for root in roots)


def _findings_page(
    context: AppContext,
    serializer: ScanSerializer,
    job_id: str,
    filters: Mapping[str, str],
    after: int | None,
) -> tuple[list[FindingDocument], int | None]:
    """The findings of a page, and the number after which the next page begins."""
    found: list[FindingDocument] = []
    # A reader who may not know names sees other reasons than those that are stored.
    words = filters["q"] if serializer.with_names else ""
    pages = context.jobs.row_pages(
        job_id, outcome=filters["outcome"], words=words, after=-1 if after is None else after
    )
    for page in pages:
        found += [one for one in serializer.findings(page.rows) if _matches(one, filters)]
        if len(found) >= MOST_SHOWN // 2 and page.is_full:
            return found, page.last
    return found, None


def _matches(finding: FindingDocument, filters: Mapping[str, str]) -> bool:
    if filters["outcome"] not in ("", finding.outcome):
        return False
    text = f"{finding.file} {finding.identity_name} {finding.sha256} {finding.reason}"
    return filters["q"].casefold() in text.casefold()


def _serializer(context: AppContext, session: Session) -> ScanSerializer:
    return ScanSerializer(
        context.settings.web.url,
        context.standings,
        with_names=session.account.may(Permission.CASES_READ),
    )


def _list_page(
    request: Request,
    context: AppContext,
    session: Session,
    problem: Exception | None = None,
    target: str = "",
) -> Response:
    state = request.query_params.get("state", "")
    before = request.query_params.get("before") or None
    jobs = context.jobs.newest(
        None, JobState(state) if state in list(JobState) else None, before, _PAGE_SIZE
    )
    serializer = _serializer(context, session)
    scans: list[ScanDocument] = [serializer.scan(job, MOST_LISTED) for job in jobs]
    return render_page(
        request,
        "scans.html",
        words=page_words(language_of(request)),
        problem=problem,
        scans=scans,
        state=state,
        states=list(JobState),
        following=jobs[-1].job_id if len(jobs) == _PAGE_SIZE else None,
        target=target,
        roots=context.settings.web.scan_roots,
        hubs=sorted(name for name, hub in REMOTE_HUBS.items() if hub.build),
        may_begin=session.account.may(Permission.SCANS_WRITE),
        worker=worker_is_running(context.settings),
        waiting=context.jobs.count(JobState.QUEUED),
        most_mb=context.settings.web.max_upload_mb,
    )
