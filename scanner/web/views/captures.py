"""Captured pages and pictures: send one, see and correct what was read, search again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from crawlers.captures.capture_rows import PageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.ties import ties_of_image, ties_of_page
from crawlers.errors import UnknownCapture
from crawlers.sweeps.crawl_store import CrawlStore
from reports.errors import ReviewRefused
from scanner.captures.overview import overview
from scanner.captures.releases import Person, Releases
from scanner.errors import ReleaseRefused
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormExpired, FormRefused, NotThere
from scanner.web.forms import Form, Posted, has_form_token, require_same_origin
from scanner.web.queue.health import worker_is_running
from scanner.web.queue.job import JobKind, JobRequest, JobState
from scanner.web.queue.jobs import new_job_id
from scanner.web.rendering import redirect, render_page
from scanner.web.translation import language_of, translations
from scanner.web.views.case_views import page_words

router = APIRouter(include_in_schema=False, prefix="/captures")
Reader = Annotated[Session, requires_permission(Permission.CASES_READ)]
Editor = Annotated[Session, requires_permission(Permission.CAPTURES)]
Decider = Annotated[Session, requires_permission(Permission.CASES_DECIDE)]
_PAGE_SIZE = 50
# The fields that people may correct; text, links and images stay as they were read.
_TEXTS = (
    "title",
    "platform",
    "account_name",
    "account_id",
    "account_url",
    "item_id",
    "currency",
    "published_at",
)
_ACCOUNT = ("platform", "account_name", "account_id", "account_url")
_MAX_PAGES = 200


@router.get("")
def listed(request: Request, context: Context, session: Reader) -> Response:
    """All captures, newest first."""
    return _list_page(request, context, session)


@router.post("/file")
async def send(request: Request, context: Context, session: Editor) -> Response:
    """Receive a capture, streamed to disk; the worker seals and reads it and searches its faces."""
    require_same_origin(request)
    if not has_form_token(request, session):
        raise FormExpired("this page is older than your sign-in")
    job_id = new_job_id()
    upload = await context.uploads.receive(request, job_id, "made_with")
    declared = {
        "by": session.account.name,
        "login": session.account.actor,
        "made_with": upload.declared[:200] or None,
    }
    job_request = JobRequest(
        session.account.account_id,
        JobKind.CAPTURE,
        str(upload.path),
        upload.name,
        upload.sha256,
        upload.size_bytes,
        declared,
    )
    try:
        job, _ = await run_in_threadpool(context.jobs.submit, job_request, None, job_id)
    except BaseException:
        context.uploads.discard(job_request.source)
        raise
    return JSONResponse({"path": f"/scans/{job.job_id}"})


@router.post("/judge")
def judge(
    request: Request,
    context: Context,
    session: Editor,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    """Search the faces again where something has changed."""
    return redirect(f"/scans/{_search_again(request, context, session)}", "queued")


def _search_again(request: Request, context: AppContext, session: Session) -> str:
    """The id of the job that searches all changed captures; a queued one is used again."""
    for job in context.jobs.newest(None, JobState.QUEUED, None, _PAGE_SIZE):
        if job.kind == JobKind.CAPTURE and not job.source:
            return job.job_id
    name = translations(language_of(request)).gettext("Captured pages and pictures")
    job_request = JobRequest(
        session.account.account_id,
        JobKind.CAPTURE,
        "",
        name,
        declared={"login": session.account.actor},
    )
    return context.jobs.submit(job_request)[0].job_id


@router.get("/{capture_id}")
def show(request: Request, capture_id: str, context: Context, session: Reader) -> Response:
    return _page(request, context, session, capture_id)


@router.post("/{capture_id}/pages/{number}")
def correct(
    request: Request, capture_id: str, number: int, context: Context, session: Editor, form: Posted
) -> Response:
    """Correct what was read of a page; the earlier values are kept."""
    try:
        with (
            context.services.acquire(session.account.actor) as service,
            _captures(context) as captures,
        ):
            pages = captures.pages(_existing_id(captures, capture_id))
            if not 0 < number <= len(pages):
                raise NotThere("no such page of a capture")
            row, changes = pages[number - 1], _changes(form)
            service.correct_capture(captures, row, changes, session.account.name)
            for other in pages if form.text("all_of_account") else ():
                if other.page_id != row.page_id and other.account == row.account:
                    account = {name: changes[name] for name in _ACCOUNT}
                    service.correct_capture(captures, other, account, session.account.name)
    except (FormRefused, ValueError) as error:
        problem = (
            error if isinstance(error, FormRefused) else FormRefused("no-date", "published_at")
        )
        return _page(request, context, session, capture_id, problem, (number, form))
    return redirect(f"/captures/{capture_id}", "saved")


@router.post("/{capture_id}/release")
def release(
    request: Request, capture_id: str, context: Context, session: Decider, form: Posted
) -> Response:
    """Record a second person's decision about what a capture may show; then search again."""
    try:
        with (
            context.services.acquire(session.account.actor) as service,
            _captures(context) as captures,
        ):
            releases = Releases(captures, service.scan_store.captures, service.vault)
            waiting = list(releases.waiting(_existing_id(captures, capture_id)))
            if not form.text("reason"):
                raise FormRefused("no-reason")
            key, version = form.text("subject", 1_000), form.text("version", 16)
            item = next((item for item in waiting if item.subject.key == key), None)
            if item is None or item.subject.version != version:
                raise FormRefused("captured-meanwhile")
            person = _person(session)
            if not item.may_be_decided_by(person):
                raise FormRefused("took-it-in")
            releases.decide(
                item, person, form.text("decision"), form.text("reason", 1_000), context.clock()
            )
    except (FormRefused, ReleaseRefused) as error:
        return _page(request, context, session, capture_id, error)
    _search_again(request, context, session)
    return redirect(f"/captures/{capture_id}", "decided")


@router.post("/{capture_id}/remove")
def remove(
    request: Request, capture_id: str, context: Context, session: Editor, form: Posted
) -> Response:
    """Delete a capture that was added by mistake; refused if a case rests on it."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with (
            context.services.acquire(session.account.actor) as service,
            _captures(context) as captures,
        ):
            service.remove_capture(
                captures, _existing_id(captures, capture_id), form.text("reason")
            )
    except UnknownCapture as error:
        raise NotThere("no such capture") from error  # somebody else removed it
    except (FormRefused, ReviewRefused) as error:
        return _page(request, context, session, capture_id, error)
    return redirect("/captures", "removed")


def _person(session: Session) -> Person:
    account = session.account
    return Person(account.name, account.actor, (f"account {account.actor}",))


@contextmanager
def _captures(context: AppContext) -> Iterator[CaptureStore]:
    store = CrawlStore(context.settings.crawl_path)
    try:
        yield CaptureStore(store, context.settings.captures_path)
    finally:
        store.close()


def _existing_id(captures: CaptureStore, capture_id: str) -> str:
    """The id itself; raises NotThere if it is no full id of a capture."""
    if captures.known(capture_id) is None:
        raise NotThere("no such capture")
    return capture_id


def _changes(form: Form) -> dict[str, object]:
    changes: dict[str, object] = {name: form.text(name, 500) or None for name in _TEXTS}
    changes |= {name: changes[name] or "" for name in ("title", "platform")}
    if form.text("kind") not in list(PageKind):
        raise FormRefused("no-such-choice")
    return {**changes, "price": _price(form.text("price", 30)), "kind": form.text("kind")}


def _price(text: str) -> float | None:
    """A price as people write it: 1299, 1,299.50 or 9,90; raises FormRefused."""
    if not text:
        return None
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    if not re.fullmatch(r"\d+([.,]\d{1,2})?", text):
        raise FormRefused("no-number", "price")
    return float(text.replace(",", "."))


def _list_page(request: Request, context: AppContext, session: Session) -> Response:
    after = request.query_params.get("after", "")
    find = request.query_params.get("find", "").replace("\0", "").strip()[:200]
    with context.services.acquire(session.account.actor) as service, _captures(context) as captures:
        rows = captures.newest(find, after, _PAGE_SIZE + 1)
        shown = rows[:_PAGE_SIZE]
        overviews = list(overview(captures, shown, service.scan_store.captures, service.case_store))
    return render_page(
        request,
        "captures.html",
        words=page_words(language_of(request)),
        rows=overviews,
        find=find,
        following=shown[-1].capture_id if len(rows) > _PAGE_SIZE else None,
        may_take=session.account.may(Permission.CAPTURES),
        worker=worker_is_running(context.settings),
        most_mb=context.settings.web.max_upload_mb,
    )


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    capture_id: str,
    problem: Exception | None = None,
    typed: tuple[int, Form] | None = None,
) -> Response:
    """A capture with its pages; the values typed into a refused form stay in it."""
    with _captures(context) as captures:
        row = captures.known(_existing_id(captures, capture_id))
        pages = captures.pages(capture_id)
        contents = [
            _content(captures, page, typed[1] if typed and typed[0] == page.number + 1 else None)
            for page in pages[:_MAX_PAGES]
        ]
        with context.services.acquire(session.account.actor) as service:
            cases = service.case_store.resting_on(capture_id)
            waiting = list(
                Releases(captures, service.scan_store.captures, service.vault).waiting(capture_id)
            )
    person = _person(session)
    return render_page(
        request,
        "capture.html",
        problem=problem,
        words=page_words(language_of(request)),
        capture=row,
        pages=contents,
        more=max(0, len(pages) - _MAX_PAGES),
        kinds=list(PageKind),
        cases=cases,
        may_take=session.account.may(Permission.CAPTURES),
        waiting=[(item, item.may_be_decided_by(person)) for item in waiting],
        may_decide=session.account.may(Permission.CASES_DECIDE),
    )


def _content(captures: CaptureStore, row: PageRow, typed: Form | None) -> dict[str, object]:
    images = captures.images(row.page_id)
    ties = [
        *ties_of_page(captures.store, row.facts),
        *(tie for image in images for tie in ties_of_image(captures.store, image.provenance)),
    ]
    return {
        "row": row,
        "facts": row.facts,
        "images": images,
        "ties": list(dict.fromkeys(ties)),
        "typed": {
            name: typed.fields.get(name, [""])[-1] if typed else getattr(row.facts, name)
            for name in (*_TEXTS, "price", "kind")
        },
        "refused": typed is not None,
    }
