"""A registered likeness: its status, coverage, terms, licences, matches, and withdrawal."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from face_index.consent import CONSENT_TEXT, CONSENT_TEXT_VERSION, LicenceKind, Signatory, Terms
from face_index.errors import ConsentMissing, UnknownIdentity
from face_index.identity import Identity, Status
from reports.cases.case_list import CaseFilter, CaseOrder
from reports.cases.case_summary import CaseSummary
from reports.cases.review import CaseStatus
from scanner.scanning.coverage import Coverage
from scanner.web.auth.access import Permission
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted, PostedWithFiles
from scanner.web.queue.progress import search_state
from scanner.web.rendering import redirect, render_page
from scanner.web.service_pool import PageCaseService
from scanner.web.views.enrolling import MAX_DAYS, checked_document, last_day

router = APIRouter(include_in_schema=False)
Mine = Annotated[Session, requires_permission(Permission.LIKENESS)]


# The values that a licence can name; any other would silently allow nothing.
_LICENCE_VALUES = {
    LicenceKind.UPLOADER: r"[a-z0-9][\w.-]*:\S.{0,200}",
    LicenceKind.MODEL: r"[0-9a-fA-F]{64}",
    LicenceKind.HUB: r"[a-z0-9][\w.-]*",
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """A likeness as its holder sees it.

    Attributes:
        identity: None after it was erased.
        receipt: the receipt of the erasure.
        searched_since: when it was approved, UTC; None while it waits.
        earlier: files examined before that and not compared with this face.
        drawn_before: number of files that were drawn before that and searched since.
        is_searching: the search in what was drawn before is under way.
    """

    identity_id: str
    identity: Identity | None
    receipt: dict[str, Any] | None
    cases: tuple[CaseSummary, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    searched_since: str | None = None
    earlier: int = 0
    drawn_before: int = 0
    is_searching: bool = False

    @property
    def found(self) -> int:
        """Number of cases that no reviewer has rejected."""
        return sum(case.status != CaseStatus.REJECTED for case in self.cases)

    @property
    def examined(self) -> int:
        return sum(hub.examined for hub in self.coverage)


@router.get("/likeness")
def overview(request: Request, context: Context, session: Mine) -> Response:
    """Everyone that this account acts for."""
    ids = list(context.accounts.identities_of(session.account.account_id))
    with context.services.acquire(session.account.actor) as service:
        likenesses = list(filter(None, (likeness_of(service, id_) for id_ in ids)))
    draft = context.drafts.of(session.account.account_id, context.clock())
    return render_page(
        request, "likenesses.html", likenesses=likenesses, draft=draft, today=context.clock().date()
    )


@router.get("/likeness/{identity_id}")
def show(request: Request, identity_id: str, context: Context, session: Mine) -> Response:
    return _page(request, context, session, identity_id)


@router.post("/likeness/{identity_id}/consent")
def renew(
    request: Request, identity_id: str, context: Context, session: Mine, form: PostedWithFiles
) -> Response:
    """Record a newer consent, with another last day or other terms."""
    try:
        with context.services.acquire(session.account.actor) as service:
            identity = own_identity(context, session, service, identity_id)
            now = context.clock()
            if not form.ticked("agree"):
                raise FormRefused("no-consent")
            if form.text("terms") not in list(Terms):
                raise FormRefused("no-such-choice")
            consent = replace(
                identity.consent,
                signed_on=now.date(),
                expires_on=last_day(form, now.date()),
                terms=Terms(form.text("terms")),
                text_version=CONSENT_TEXT_VERSION,
            )
            if consent.signatory != Signatory.SELF:
                document = checked_document(form.sent("signed_document"), "no-document")
                consent = replace(
                    consent, document_sha256=hashlib.sha256(document.data).hexdigest()
                )
            service.vault.consents.renew(identity_id, consent, session.account.actor, now)
    except (FormRefused, ConsentMissing) as error:
        return _page(request, context, session, identity_id, error)
    return redirect(f"/likeness/{identity_id}", "renewed")


@router.post("/likeness/{identity_id}/licences")
def grant(
    request: Request, identity_id: str, context: Context, session: Mine, form: Posted
) -> Response:
    """Allow a model, an uploader or a hub until a day."""
    try:
        with context.services.acquire(session.account.actor) as service:
            own_identity(context, session, service, identity_id)
            kind, value = form.text("kind"), form.text("value", 300)
            if kind not in list(LicenceKind):
                raise FormRefused("no-such-choice")
            if not re.fullmatch(_LICENCE_VALUES[LicenceKind(kind)], value):
                raise FormRefused("no-licence", "value")
            until = form.day("until")
            if until < context.clock().date():
                raise FormRefused("no-date", "until")
            service.vault.licences.grant(
                identity_id,
                LicenceKind(kind),
                value,
                until,
                note=form.text("note", 500),
                actor=session.account.actor,
                now=context.clock(),
            )
    except FormRefused as error:
        return _page(request, context, session, identity_id, error)
    return redirect(f"/likeness/{identity_id}", "licence")


@router.post("/likeness/{identity_id}/licences/{licence_id}/end")
def end_licence(
    identity_id: str,
    licence_id: str,
    context: Context,
    session: Mine,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        own_identity(context, session, service, identity_id)
        if licence_id not in {
            licence.licence_id for licence in service.vault.licences.list_for(identity_id)
        }:
            raise NotThere("no such licence")
        service.vault.licences.revoke(licence_id, session.account.actor, context.clock())
    return redirect(f"/likeness/{identity_id}", "ended")


@router.get("/likeness/{identity_id}/withdraw")
def ask_to_withdraw(
    request: Request, identity_id: str, context: Context, session: Mine
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        identity = own_identity(context, session, service, identity_id)
    return render_page(request, "withdraw.html", identity=identity)


@router.post("/likeness/{identity_id}/withdraw")
def withdraw(
    identity_id: str,
    context: Context,
    session: Mine,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    """Erase the person at once; the page that follows shows the receipt."""
    with context.services.acquire(session.account.actor) as service:
        identity = own_identity(context, session, service, identity_id)
        now, actor = context.clock(), session.account.actor
        if identity.status == Status.ACTIVE:
            service.vault.erasure.withdraw(identity_id, now, actor)
        else:
            service.vault.erasure.withdraw(identity_id, now, actor, "withdrawn before approval")
    return redirect(f"/likeness/{identity_id}")


@router.get("/likeness/{identity_id}/receipt.json")
def receipt(identity_id: str, context: Context, session: Mine) -> Response:
    """The signed erasure receipt, which `portrait-scanner receipt` checks."""
    if identity_id not in context.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    with context.services.acquire(session.account.actor) as service:
        document = receipt_of(service, identity_id)
    if document is None:
        raise NotThere("no such receipt")
    headers = {"Content-Disposition": f'attachment; filename="erasure-{identity_id[:8]}.json"'}
    return Response(
        json.dumps(document, ensure_ascii=False, indent=2),
        media_type="application/json",
        headers=headers,
    )


def own_identity(
    context: AppContext, session: Session, service: PageCaseService, identity_id: str
) -> Identity:
    """An identity that this account acts for; raises NotThere for any other, as for none."""
    if identity_id not in context.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    try:
        return service.vault.people.find(identity_id)
    except UnknownIdentity as error:
        raise NotThere("no such likeness") from error


def receipt_of(service: PageCaseService, identity_id: str) -> dict[str, Any] | None:
    """The receipt of an erased identity."""
    rows = service.vault.db.table("erasures").rows_where("identity_id = ?", [identity_id])
    return next((json.loads(row["receipt"]) for row in rows), None)


def likeness_of(service: PageCaseService, identity_id: str) -> Likeness | None:
    """The status of a likeness; None if there is no trace of it."""
    wanted = CaseFilter(identity_id=identity_id)
    summaries = service.case_store.lists.page(wanted, CaseOrder.NEWEST)
    cases = tuple(case for case in summaries if case.status != CaseStatus.SUPERSEDED)
    try:
        identity = service.vault.people.find(identity_id)
    except UnknownIdentity:
        receipt = receipt_of(service, identity_id)
        return Likeness(identity_id, None, receipt, cases) if receipt else None
    proofs = service.vault.documents.proofs_of(identity_id)
    if identity.status != Status.ACTIVE or not proofs:
        return Likeness(identity_id, identity, None, cases)
    since = proofs[-1].checked_at.isoformat()
    coverage = tuple(service.scan_store.coverage.since(since))
    ever = service.scan_store.coverage.ever()
    earlier = max(0, ever - sum(hub.examined for hub in coverage))
    searched = service.scan_store.searched
    newest = searched.newest()
    is_searching = ever > 0 and (
        newest is None or newest.gallery_version < service.vault.gallery_version
    )
    return Likeness(
        identity_id,
        identity,
        None,
        cases,
        coverage,
        since,
        earlier,
        is_searching=is_searching,
    )


def _page(
    request: Request,
    context: AppContext,
    session: Session,
    identity_id: str,
    problem: Exception | None = None,
) -> Response:
    if identity_id not in context.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    today = context.clock().date()
    with context.services.acquire(session.account.actor) as service:
        likeness = likeness_of(service, identity_id)
        if likeness is None:
            raise NotThere("no such likeness")
        identity = likeness.identity
        if identity is None:
            return render_page(
                request,
                "erased.html",
                likeness=likeness,
                fingerprint=service.vault.keys.fingerprint,
            )
        licences = service.vault.licences.list_for(identity_id)
        if likeness.searched_since is not None:
            drawn_before = service.scan_store.coverage.drawn_before(likeness.searched_since)
            likeness = replace(likeness, drawn_before=drawn_before)
    return render_page(
        request,
        "likeness.html",
        problem=problem,
        search=search_state(context.store),
        likeness=likeness,
        identity=identity,
        licences=licences,
        today=today,
        texts=CONSENT_TEXT,
        tomorrow=today + timedelta(days=1),
        last=today + timedelta(days=MAX_DAYS),
        ends_soon=identity.consent.expires_within(30, today),
    )
