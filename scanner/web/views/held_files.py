"""Files that name a registered minor: what waits for a look, and what those who looked say."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from scanner.errors import LookRefused
from scanner.scanning.held_files import HeldFiles, LookDecision, has_looked
from scanner.triage.minors import RegisteredMinors
from scanner.web.auth.access import Permission
from scanner.web.auth.authentication import asks
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormRefused
from scanner.web.forms import Posted
from scanner.web.rendering import go, page, told
from scanner.web.service_pool import PageCaseService

router = APIRouter(include_in_schema=False, prefix="/held")
Here = Annotated[AppContext, Depends(app_context_of)]
Decider = Annotated[Session, asks(Permission.CASES_DECIDE)]
_MOST = 200


@router.get("")
def listed(request: Request, here: Here, session: Decider) -> Response:
    """What waits first, the likeliest likeness first, then what was settled."""
    return _page(request, here, session)


@router.post("/{key}")
def look(request: Request, key: str, here: Here, session: Decider, form: Posted) -> Response:
    """Note who looked and what they say; nothing is sampled by that alone."""
    account = session.account
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with here.services.one(account.actor) as service:
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
                here.clock(),
                service.vault.audit.login,
            )
    except (FormRefused, LookRefused) as error:
        return _page(request, here, session, error)
    return go("/held", "noted")


def waiting_for_a_look(service: PageCaseService) -> int:
    """How many held files nobody has settled."""
    held, minors = _held(service)
    return sum(not one.settled for one in held.all(minors.ids))


def _held(service: PageCaseService) -> tuple[HeldFiles, RegisteredMinors]:
    return HeldFiles(service.scan_store, service.vault), RegisteredMinors(
        service.vault, service.clock
    )


def _page(
    request: Request, here: AppContext, session: Session, problem: Exception | None = None
) -> Response:
    with here.services.one(session.account.actor) as service:
        held, minors = _held(service)
        found = held.all(minors.ids)[:_MOST]
        names = {one.identity_id: service.vault.people.find(one.identity_id).name for one in found}
    return page(
        request, "held.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        found=[(one, names[one.identity_id], has_looked(one, session.account.actor)) for one in found],
    )  # fmt: skip
