"""Captured pages and pictures in the browser: send one, see what was read of it, correct that, search again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
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
from scanner.web.api.operations import worker_lives
from scanner.web.auth.access import Permission
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormExpired, FormRefused, NotThere
from scanner.web.forms import Form, Posted, fits_session, must_be_from_here
from scanner.web.queue.jobs import JobKind, JobState, Order, new_job_id
from scanner.web.rendering import go, page, told, whole_number
from scanner.web.translation import translations
from scanner.web.views.case_views import page_words

router = APIRouter(include_in_schema=False, prefix="/captures")
Here = Annotated[AppContext, Depends(app_context_of)]
Reader = Annotated[Session, asks(Permission.CASES_READ)]
Taker = Annotated[Session, asks(Permission.CAPTURES)]
Decider = Annotated[Session, asks(Permission.CASES_DECIDE)]
_A_PAGE = 50
# What people correct; text, links and images stay as they were read.
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
_MOST_SHOWN = 200


@router.get("")
def listed(request: Request, here: Here, session: Reader) -> Response:
    """Everything captured, newest first."""
    return _list_page(request, here, session)


@router.post("/file")
async def send(request: Request, here: Here, session: Taker) -> Response:
    """A capture, streamed to disk; the worker seals and reads it, and searches the faces in it."""
    must_be_from_here(request)
    if not fits_session(request, session):
        raise FormExpired("this page is older than your sign-in")
    job_id = new_job_id()
    upload = await here.receiver.receive(request, job_id, "made_with")
    declared = {
        "by": session.account.name, "login": session.account.actor, "made_with": upload.declared[:200] or None,
    }  # fmt: skip
    order = Order(
        session.account.account_id,
        JobKind.CAPTURE,
        str(upload.path),
        upload.name,
        upload.sha256,
        upload.size_bytes,
        declared,
    )
    try:
        job, _ = await run_in_threadpool(here.jobs.take_in, order, None, job_id)
    except BaseException:
        here.forget_upload(order.source)
        raise
    return JSONResponse({"path": f"/scans/{job.job_id}"})


@router.post("/judge")
def judge(request: Request, here: Here, session: Taker, form: Posted) -> Response:  # noqa: ARG001  checked
    """Search the faces again where something changed."""
    return go(f"/scans/{_search_again(request, here, session)}", "queued")


def _search_again(request: Request, here: AppContext, session: Session) -> str:
    """The job that searches everything captured where something changed: one serves all who ask."""
    for waiting in here.jobs.newest(None, JobState.QUEUED, None, _A_PAGE):
        if waiting.kind == JobKind.CAPTURE and not waiting.source:
            return waiting.job_id
    name = translations(language_of(request)).gettext("Captured pages and pictures")
    order = Order(
        session.account.account_id,
        JobKind.CAPTURE,
        "",
        name,
        declared={"login": session.account.actor},
    )
    return here.jobs.take_in(order)[0].job_id


@router.get("/{capture_id}")
def show(request: Request, capture_id: str, here: Here, session: Reader) -> Response:
    return _page(request, here, session, capture_id)


@router.post("/{capture_id}/pages/{number}")
def correct(
    request: Request, capture_id: str, number: int, here: Here, session: Taker, form: Posted
) -> Response:
    """Correct what was read of a page; what was read before stays beside it."""
    try:
        with here.services.one(session.account.actor) as service, _captures(here) as captures:
            pages = captures.pages(_named(captures, capture_id))
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
        return _page(request, here, session, capture_id, problem, (number, form))
    return go(f"/captures/{capture_id}", "saved")


@router.post("/{capture_id}/release")
def release(
    request: Request, capture_id: str, here: Here, session: Decider, form: Posted
) -> Response:
    """A second person's decision about what a capture may show; the search then goes on by itself."""
    try:
        with here.services.one(session.account.actor) as service, _captures(here) as captures:
            releases = Releases(captures, service.scan_store, service.vault)
            waiting = list(releases.waiting(_named(captures, capture_id)))
            if not form.text("reason"):
                raise FormRefused("no-reason")
            one = next(
                (one for one in waiting if one.subject.key == form.text("subject", 1_000)), None
            )
            if one is None or one.subject.version != form.text("version", 16):
                raise FormRefused("captured-meanwhile")
            person = Person(
                session.account.name, session.account.actor, (f"account {session.account.actor}",)
            )
            if not one.may_be_decided_by(person):
                raise FormRefused("took-it-in")
            releases.decide(
                one, person, form.text("decision"), form.text("reason", 1_000), here.clock()
            )
    except (FormRefused, ReleaseRefused) as error:
        return _page(request, here, session, capture_id, error)
    _search_again(request, here, session)
    return go(f"/captures/{capture_id}", "decided")


@router.post("/{capture_id}/remove")
def remove(request: Request, capture_id: str, here: Here, session: Taker, form: Posted) -> Response:
    """Delete what was taken in by mistake; refused where a case rests on it."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with here.services.one(session.account.actor) as service, _captures(here) as captures:
            service.remove_capture(captures, _named(captures, capture_id), form.text("reason"))
    except UnknownCapture as error:
        raise NotThere("no such capture") from error  # somebody else removed it
    except (FormRefused, ReviewRefused) as error:
        return _page(request, here, session, capture_id, error)
    return go("/captures", "removed")


@contextmanager
def _captures(here: AppContext) -> Iterator[CaptureStore]:
    store = CrawlStore(here.settings.crawl_path)
    try:
        yield CaptureStore(store, here.settings.captures_path)
    finally:
        store.close()


def _named(captures: CaptureStore, capture_id: str) -> str:
    """The id itself; raises NotThere for one that is no capture's, or the beginning of one."""
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
    """A price as people write it, 1299, 1,299.50 or 9,90; raises FormRefused."""
    if not text:
        return None
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    if not re.fullmatch(r"\d+([.,]\d{1,2})?", text):
        raise FormRefused("no-number", "price")
    return float(text.replace(",", "."))


def _list_page(request: Request, here: AppContext, session: Session) -> Response:
    start = whole_number(request.query_params.get("from")) or 0
    find = request.query_params.get("find", "").replace("\0", "").strip()[:200]
    with here.services.one(session.account.actor) as service, _captures(here) as captures:
        rows = list(islice(captures.all(find), start, start + _A_PAGE + 1))
        lines = list(overview(captures, rows[:_A_PAGE], service.scan_store, service.case_store))
    return page(
        request, "captures.html", words=page_words(language_of(request)), lines=lines, find=find, following=start + _A_PAGE if len(rows) > _A_PAGE else None,
        may_take=session.account.may(Permission.CAPTURES), worker=worker_lives(here), most_mb=here.settings.web.max_upload_mb,
    )  # fmt: skip


def _page(
    request: Request,
    here: AppContext,
    session: Session,
    capture_id: str,
    problem: Exception | None = None,
    typed: tuple[int, Form] | None = None,
) -> Response:
    """A capture with its pages; what was typed into a refused form stays in it."""
    with _captures(here) as captures:
        row = captures.known(_named(captures, capture_id))
        pages = captures.pages(capture_id)
        content = [
            _content(captures, one, typed[1] if typed and typed[0] == one.number + 1 else None)
            for one in pages[:_MOST_SHOWN]
        ]
        with here.services.one(session.account.actor) as service:
            cases = service.case_store.resting_on(capture_id)
            waiting = list(
                Releases(captures, service.scan_store, service.vault).waiting(capture_id)
            )
    person = Person(
        session.account.name, session.account.actor, (f"account {session.account.actor}",)
    )
    return page(
        request, "capture.html", 422 if problem else 200, problem=told(request, problem) if problem else None, capture=row, content=content,
        more=max(0, len(pages) - _MOST_SHOWN), kinds=list(PageKind), cases=cases, may_take=session.account.may(Permission.CAPTURES),
        waiting=[(one, one.may_be_decided_by(person)) for one in waiting], may_decide=session.account.may(Permission.CASES_DECIDE),
    )  # fmt: skip


def _content(captures: CaptureStore, row: PageRow, typed: Form | None) -> dict[str, object]:
    images = captures.images(row.page_id)
    ties = [
        *ties_of_page(captures.store, row.facts),
        *(tie for one in images for tie in ties_of_image(captures.store, one.provenance)),
    ]
    return {
        "row": row, "facts": row.facts, "images": images, "ties": list(dict.fromkeys(ties)),
        "typed": {
            name: typed.fields.get(name, [""])[-1] if typed else getattr(row.facts, name)
            for name in (*_TEXTS, "price", "kind")
        }, "refused": typed is not None,
    }  # fmt: skip
