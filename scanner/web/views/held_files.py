"""Files that name a registered minor, and the decisions of those who examined them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from scanner.errors import HoldReviewRefused
from scanner.scanning.held_files import HeldFiles, HoldDecision, has_looked
from scanner.triage.minors import RegisteredMinors
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused
from scanner.web.forms import Posted
from scanner.web.rendering import redirect, render_page
from scanner.web.service_pool import PageCaseService

router = APIRouter(include_in_schema=False, prefix="/held")
Decider = Annotated[Session, requires_permission(Permission.CASES_DECIDE)]
_MAX_SHOWN = 200


@router.get("")
def listed(request: Request, context: Context, session: Decider) -> Response:
    """Undecided files first, the most likely likeness first, then the decided ones."""
    return _page(request, context, session)


@router.post("/{key}")
def decide(
    request: Request, key: str, context: Context, session: Decider, form: Posted
) -> Response:
    """Record who examined a file and what they decided; this alone does not sample anything."""
    account = session.account
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with context.services.acquire(account.actor) as service:
            held, minors = _held(service)
            file = next((file for file in held.all(minors.ids) if file.key == key), None)
            if file is None:
                raise FormRefused("captured-meanwhile")
            if form.text("decision") == HoldDecision.SOMEBODY_ELSE and not file.liftable:
                raise FormRefused("names-itself")
            held.look(
                key,
                minors.ids,
                account.name,
                account.actor,
                form.text("decision"),
                form.text("reason", 1_000),
                context.clock(),
                service.vault.audit.login,
            )
    except (FormRefused, HoldReviewRefused) as error:
        return _page(request, context, session, error)
    return redirect("/held", "noted")


def undecided_count(service: PageCaseService) -> int:
    """How many held files nobody has decided about."""
    held, minors = _held(service)
    return sum(not file.settled for file in held.all(minors.ids))


def _held(service: PageCaseService) -> tuple[HeldFiles, RegisteredMinors]:
    minors = RegisteredMinors(service.vault, service.clock)
    return HeldFiles(service.scan_store.held, service.vault), minors


def _page(
    request: Request, context: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        held, minors = _held(service)
        files = held.all(minors.ids)[:_MAX_SHOWN]
        names = {
            file.identity_id: service.vault.people.find(file.identity_id).name for file in files
        }
    return render_page(
        request,
        "held.html",
        problem=problem,
        files=[
            (file, names[file.identity_id], has_looked(file, session.account.actor))
            for file in files
        ],
    )
