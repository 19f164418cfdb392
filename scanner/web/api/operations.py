"""Monitoring: liveness, readiness and metrics, and the counts that an operator publishes."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel

from crawlers.checkpoints.checkpoint_store import files_still_there
from scanner.casework.statistics import transparency
from scanner.factories import open_case_service, open_scan_store
from scanner.web.api.schemas import Problem
from scanner.web.auth.access import Scope
from scanner.web.auth.tokens import Token
from scanner.web.dependencies import Context, requires_scope
from scanner.web.queue.health import delivery_is_running, worker_is_running
from scanner.web.queue.job import JobState

router = APIRouter(tags=["operations"])
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (401, 403, 429)
}


class Health(BaseModel):
    """`ok`, or the name of what is missing."""

    status: str
    worker: bool | None = None
    messenger: bool | None = None


@router.get("/healthz", response_model=Health)
async def alive() -> Health:
    """The process is running."""
    return Health(status="ok")


@router.get(
    "/readyz",
    response_model=Health,
    responses={503: {"model": Health}},
    description=(
        "The database can be written, a worker is running, and mails and webhooks were "
        "processed in the last minutes."
    ),
)
def ready(context: Context, response: Response) -> Health:
    """Check the database, the worker and its delivery thread."""
    context.store.set_fact("ready", context.clock().isoformat())
    worker = worker_is_running(context.settings)
    delivery = worker and delivery_is_running(context.store, context.clock())
    if not delivery:
        response.status_code = 503
    status = "ok" if delivery else "no mail or webhook is sent" if worker else "no worker runs"
    return Health(status=status, worker=worker, messenger=delivery)


@router.get(
    "/metrics",
    response_class=Response,
    responses={**_REFUSALS, 200: {"content": {"text/plain": {}}}},
)
def metrics(
    context: Context,
    token: Annotated[Token, requires_scope(Scope.METRICS)],  # noqa: ARG001  only the scope counts
) -> Response:
    """Counts for Prometheus."""
    registry = CollectorRegistry()
    jobs = Gauge("portrait_scanner_jobs", "Jobs by state.", ["state"], registry=registry)
    for state in JobState:
        jobs.labels(state=str(state)).set(context.jobs.count(state))
    waiting = Gauge(
        "portrait_scanner_messages_waiting",
        "Mails and webhooks not delivered yet.",
        registry=registry,
    )
    waiting.set(context.store.db.table("messages").count_where("sent_at is null"))
    uploads = Gauge(
        "portrait_scanner_upload_bytes",
        "Bytes of uploads that wait for the worker.",
        registry=registry,
    )
    uploads.set(sum(size for _, size, _ in files_still_there(context.settings.uploads_path)))
    Gauge("portrait_scanner_worker", "1 while a worker runs.", registry=registry).set(
        worker_is_running(context.settings)
    )
    return Response(
        generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/api/v1/transparency/{month}", responses=_REFUSALS)
def month_counts(
    month: Annotated[str, Path(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")],
    context: Context,
    token: Annotated[Token, requires_scope(Scope.TRANSPARENCY)],  # noqa: ARG001
) -> dict[str, Any]:
    """Counts of a month, as `portrait-scanner transparency` prints them. They name nobody."""
    settings = context.settings
    with (
        open_case_service(settings, context.clock) as service,
        closing(open_scan_store(settings)) as scan_store,
    ):
        results = context.month_results.of(month, scan_store.table.month)
        return transparency(service, results, month)
