"""Scans: what was asked for and how far it is; new ones of a folder, a bucket, a hub, an address, a hash or a file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from crawlers.errors import HubError
from crawlers.http.destinations import is_address, refuse_credentials
from crawlers.hubs.registry import REMOTE_HUBS
from crawlers.hubs.storage import is_storage
from scanner.casework.statistics import as_csv
from scanner.identification.verdict import Outcome
from scanner.web.api.operations import worker_lives
from scanner.web.api.verdicts import ScanDocument, Telling
from scanner.web.auth.access import Permission
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormExpired, FormRefused, WebError
from scanner.web.forms import Posted, fits_session, must_be_from_here
from scanner.web.queue.jobs import JobKind, JobState, Order, new_job_id
from scanner.web.rendering import go, page, told, whole_number
from scanner.web.views.case_views import page_words
from scanner.web.views.downloads import attachment

router = APIRouter(include_in_schema=False, prefix="/scans")
Here = Annotated[AppContext, Depends(app_context_of)]
Reader = Annotated[Session, asks(Permission.SCANS_READ)]
Writer = Annotated[Session, asks(Permission.SCANS_WRITE)]
_A_PAGE = 50


@router.get("")
def listed(request: Request, here: Here, session: Reader) -> Response:
    return _list_page(request, here, session)


@router.post("")
def begin(request: Request, here: Here, session: Writer, form: Posted) -> Response:
    """Take in a scan of what was typed: an address, a SHA-256, a hub, or a folder among those that may be scanned."""
    try:
        order = order_of(
            form.text("target", 2_000), session.account.account_id, here.settings.web.scan_roots
        )
        job, _ = here.jobs.take_in(order, known=here.known.rows_for(order))
    except WebError as error:
        return _list_page(request, here, session, error, form.text("target", 2_000))
    return go(f"/scans/{job.job_id}", "queued")


@router.post("/file")
async def send_file(request: Request, here: Here, session: Writer) -> Response:
    """A file, streamed to disk as the API does; the page's script sends it, with the form's token in a header."""
    must_be_from_here(request)
    if not fits_session(request, session):
        raise FormExpired("this page is older than your sign-in")
    job_id = new_job_id()
    upload = await here.receiver.receive(request, job_id)
    order = Order(
        session.account.account_id,
        JobKind.UPLOAD,
        str(upload.path),
        upload.name,
        upload.sha256,
        upload.size_bytes,
    )
    try:
        known = await run_in_threadpool(here.known.rows_for, order)
        job, _ = await run_in_threadpool(here.jobs.take_in, order, None, job_id, known)
    except BaseException:
        here.forget_upload(order.source)
        raise
    if job.ended:
        here.forget_upload(order.source)
    return JSONResponse({"path": f"/scans/{job.job_id}"})


@router.get("/{job_id}")
def show(request: Request, job_id: str, here: Here, session: Reader) -> Response:
    """One scan with its results; filters are in the address."""
    job = here.jobs.one(job_id)
    scan = _telling(here, session).scan(job)
    wanted = {name: request.query_params.get(name, "")[:200] for name in ("outcome", "q")}
    findings = scan.verdict.findings if scan.verdict else []
    counts = {str(one): sum(finding.outcome == one for finding in findings) for one in Outcome}
    shown = [
        one
        for one in findings
        if wanted["outcome"] in ("", one.outcome)
        and (
            not wanted["q"]
            or wanted["q"].casefold()
            in f"{one.file} {one.identity_name} {one.sha256} {one.reason}".casefold()
        )
    ]
    start = whole_number(request.query_params.get("from")) or 0
    return page(
        request, "scan.html", words=page_words(language_of(request)), job=job, scan=scan, findings=shown[start : start + 200], total=len(shown), counts=counts, wanted=wanted,
        following=start + 200 if len(shown) > start + 200 else None, outcomes=list(Outcome), told_to=here.outbox.of_job(job_id),
        captured=bool(job.sha256) and (here.settings.captures_path / str(job.sha256)).is_dir(),
        may_cancel=session.account.may(Permission.SCANS_WRITE), may_read=session.account.may(Permission.CASES_READ),
    )  # fmt: skip


@router.get("/{job_id}/results.csv")
def results(job_id: str, here: Here, session: Reader) -> Response:
    """The rows as a table for a spreadsheet."""
    job = here.jobs.one(job_id)
    scan = _telling(here, session).scan(job)
    rows = [
        {
            **one.model_dump(),
            "identity": one.identity_name,
            "scan_id": job.scan_id,
            "target": job.name,
        }
        for one in (scan.verdict.findings if scan.verdict else [])
    ]
    known = as_csv(({name: row.get(name) for name in _COLUMNS} for row in rows), _COLUMNS)
    return attachment(known, f"scan-{job.job_id}.csv", "text/csv; charset=utf-8")


@router.post("/{job_id}/cancel")
def cancel(job_id: str, here: Here, session: Writer, form: Posted) -> Response:  # noqa: ARG001  checked
    here.cancel(job_id)
    return go(f"/scans/{job_id}", "cancelled")


@router.get("/{job_id}/events")
async def follow(job_id: str, request: Request, here: Here, session: Reader) -> EventSourceResponse:
    """How far a scan is, until it or the session ends."""
    await run_in_threadpool(here.jobs.one, job_id)

    async def events() -> AsyncIterator[dict[str, str]]:
        last = ""
        while not await request.is_disconnected():
            if not await run_in_threadpool(here.sessions.lives, session):
                return
            job = await run_in_threadpool(here.jobs.one, job_id)
            told_now = JSONResponse(
                {"state": job.state, "done": job.done, "total": job.total, "doing": job.doing}
            ).body
            data = bytes(told_now).decode()
            if data != last:
                yield {"event": "ended" if job.ended else "progress", "data": data}
                last = data
            if job.ended:
                return
            await asyncio.sleep(0.5)

    return EventSourceResponse(events())


_COLUMNS = (
    "scan_id", "target", "file", "sha256", "outcome", "identity", "score", "threshold", "lift", "samples", "authorised", "case_id",
    "reason",
)  # fmt: skip


def order_of(target: str, account_id: str, roots: tuple[str, ...]) -> Order:
    """What somebody typed, as an order; raises FormRefused for a place that nobody allowed."""
    if not target:
        raise FormRefused("no-answer", "target")
    if re.fullmatch(r"[0-9a-fA-F]{64}", target):
        return Order(account_id, JobKind.SHA256, target.lower(), target.lower(), target.lower())
    try:
        refuse_credentials(target)
    except HubError as error:
        raise FormRefused("outside", target.rpartition("@")[2]) from error
    if is_address(target):
        return Order(account_id, JobKind.URL, target, target)
    name, _, host = target.partition("=")
    if name in REMOTE_HUBS and (not host or is_address(host)):
        return Order(account_id, JobKind.TARGET, target, target)
    if is_storage(target):
        plain = not re.search(r"/\.\.?(/|$)|%2e|[\\?#*\[]", target, re.IGNORECASE)
        if plain and any(
            target.startswith(root.rstrip("/") + "/") or target == root
            for root in roots
            if is_storage(root)
        ):
            return Order(account_id, JobKind.TARGET, target, target)
        raise FormRefused("outside", target)
    if "\0" in target or "/../" in f"{target}/":
        raise FormRefused("outside", target)
    place = Path(target)
    allowed = [Path(root).resolve() for root in roots if not is_storage(root)]
    if not place.is_absolute() or not any(place.resolve().is_relative_to(root) for root in allowed):
        raise FormRefused("outside", target)
    return Order(account_id, JobKind.TARGET, str(place.resolve()), str(place))


def _telling(here: AppContext, session: Session) -> Telling:
    return Telling(
        here.settings.web.url, here.standings, with_names=session.account.may(Permission.CASES_READ)
    )


def _list_page(
    request: Request,
    here: AppContext,
    session: Session,
    problem: Exception | None = None,
    target: str = "",
) -> Response:
    state = request.query_params.get("state", "")
    before = request.query_params.get("before") or None
    jobs = here.jobs.newest(
        None, JobState(state) if state in list(JobState) else None, before, _A_PAGE
    )
    telling = _telling(here, session)
    scans: list[ScanDocument] = [telling.scan(job) for job in jobs]
    return page(
        request, "scans.html", words=page_words(language_of(request)), status=422 if problem else 200, problem=told(request, problem) if problem else None, scans=scans,
        state=state, states=list(JobState), following=jobs[-1].job_id if len(jobs) == _A_PAGE else None, target=target,
        roots=here.settings.web.scan_roots, hubs=sorted(name for name, hub in REMOTE_HUBS.items() if hub.build),
        may_begin=session.account.may(Permission.SCANS_WRITE), worker=worker_lives(here),
        waiting=here.jobs.count(JobState.QUEUED), most_mb=here.settings.web.max_upload_mb,
    )  # fmt: skip
