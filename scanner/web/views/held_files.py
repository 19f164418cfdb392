"""Files that name a registered minor, and the decisions of those who examined them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from scanner.errors import LookRefused
from scanner.scanning.held_files import HeldFiles, LookDecision, has_looked
from scanner.triage.minors import RegisteredMinors
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused
from scanner.web.forms import Posted
from scanner.web.rendering import error_text, redirect, render_page
from scanner.web.service_pool import PageCaseService

router = APIRouter(include_in_schema=False, prefix="/held")
Decider = Annotated[Session, requires_permission(Permission.CASES_DECIDE)]
_MOST = 200


@router.get("")
def listed(request: Request, context: Context, session: Decider) -> Response:
    """Undecided files first, the most likely likeness first, then the decided ones."""
    return _page(request, context, session)


@router.post("/{key}")
def look(request: Request, key: str, context: Context, session: Decider, form: Posted) -> Response:
    """Record who examined a file and what they decided; this alone does not sample anything."""
    account = session.account
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with context.services.acquire(account.actor) as service:
            held, minors = _held(service)
            known = next((one for one in held.all(minors.ids) if one.key == key), None)
            if known is None:
                raise FormRefused("captured-meanwhile")
            if form.text("decision") == LookDecision.SOMEBODY_ELSE and not known.liftable:
                raise FormRefused("names-itself")
            held.look(
                key,
                minors.ids,
                account.name,
                account.actor,
                form.text("decision"),
                form.text("reason", 1_000),
                context.clock(),
                service.vault.login,
            )
    except (FormRefused, LookRefused) as error:
        return _page(request, context, session, error)
    return redirect("/held", "noted")


def waiting_for_a_look(service: PageCaseService) -> int:
    """How many held files nobody has decided about."""
    held, minors = _held(service)
    return sum(not one.settled for one in held.all(minors.ids))


def _held(service: PageCaseService) -> tuple[HeldFiles, RegisteredMinors]:
    return HeldFiles(service.scan_store, service.vault), RegisteredMinors(
        service.vault, service.clock
    )


def _page(
    request: Request, context: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        held, minors = _held(service)
        found = held.all(minors.ids)[:_MOST]
        names = {one.identity_id: service.vault.find(one.identity_id).name for one in found}
    return render_page(
        request,
        "held.html",
        422 if problem else 200,
        problem=error_text(request, problem) if problem else None,
        found=[
            (one, names[one.identity_id], has_looked(one, session.account.actor)) for one in found
        ],
    )
