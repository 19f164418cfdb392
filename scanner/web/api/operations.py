"""What machines ask: is it alive, is it ready, how much is there to do; and the counts an operator publishes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel

from crawlers.checkpoints.checkpoint_store import files_still_there
from scanner.casework.service import CaseService
from scanner.casework.statistics import transparency
from scanner.scanning.scan_store import ScanStore
from scanner.web.api.schemas import Problem
from scanner.web.auth.access import Scope
from scanner.web.auth.sessions import Token
from scanner.web.auth.tokens import requires
from scanner.web.context import AppContext, app_context_of
from scanner.web.queue.jobs import JobState

router = APIRouter(tags=["operations"])
Here = Annotated[AppContext, Depends(app_context_of)]
_SAYS_NO: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (401, 403, 429)
}


DELIVERY = "messenger"  # the fact that its thread renews each second or so
_DELIVERY_LATE = timedelta(minutes=15)


class Health(BaseModel):
    """`ok`, or what is missing."""

    status: str
    worker: bool | None = None
    delivery: bool | None = None


@router.get("/healthz", response_model=Health)
async def alive() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
def ready(here: Here, response: Response) -> Health:
    """The database can be written, a worker holds its lock, and its messenger was at the mails and webhooks lately."""
    here.store.set_fact("ready", here.clock().isoformat())
    worker = worker_lives(here)
    delivery = worker and delivery_lives(here)
    if not delivery:
        response.status_code = 503
    status = "ok" if delivery else "no mail or webhook is sent" if worker else "no worker runs"
    return Health(status=status, worker=worker, delivery=delivery)


@router.get(
    "/metrics",
    response_class=Response,
    responses={**_SAYS_NO, 200: {"content": {"text/plain": {}}}},
)
def metrics(here: Here, token: Annotated[Token, requires(Scope.METRICS)]) -> Response:  # noqa: ARG001  the scope is what counts
    """Counts for Prometheus."""
    registry = CollectorRegistry()
    jobs = Gauge("portrait_scanner_jobs", "Jobs by state.", ["state"], registry=registry)
    for state in JobState:
        jobs.labels(state=str(state)).set(here.jobs.count(state))
    waiting = Gauge(
        "portrait_scanner_messages_waiting",
        "Mails and webhooks not delivered yet.",
        registry=registry,
    )
    waiting.set(
        here.store.db.execute("select count(*) from messages where sent_at is null").fetchone()[0]
    )
    uploads = Gauge(
        "portrait_scanner_upload_bytes",
        "Bytes of uploads that wait for the worker.",
        registry=registry,
    )
    uploads.set(sum(size for _, size, _ in files_still_there(here.settings.uploads_path)))
    Gauge("portrait_scanner_worker", "1 while a worker runs.", registry=registry).set(
        worker_lives(here)
    )
    return Response(
        generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/api/v1/transparency/{month}", responses=_SAYS_NO)
def month_counts(
    month: Annotated[str, Path(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")],
    here: Here,
    token: Annotated[Token, requires(Scope.TRANSPARENCY)],  # noqa: ARG001
) -> dict[str, Any]:
    """Counts of a month, as `portrait-scanner transparency` gives them: nobody's name."""
    service, scan_store = (
        CaseService(here.settings, here.clock),
        ScanStore(here.settings.scans_path),
    )
    try:
        return transparency(service, scan_store, month)
    finally:
        service.close()
        scan_store.close()


def delivery_lives(here: AppContext) -> bool:
    """Whether the worker's messenger came by within the time that a long round of mails takes."""
    seen = here.store.fact(DELIVERY)
    return seen is not None and here.clock() - datetime.fromisoformat(seen) < _DELIVERY_LATE


def worker_lives(here: AppContext) -> bool:
    """Whether a worker holds the lock of this home."""
    lock = FileLock(here.settings.web_path.with_name("worker.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
