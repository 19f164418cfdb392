"""A registered likeness: where it stands, what was searched, terms, licences, matches, and the way out."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from face_index.consent import CONSENT_TEXT, CONSENT_TEXT_VERSION, LicenceKind, Signatory, Terms
from face_index.errors import ConsentMissing, UnknownIdentity
from face_index.identity import Identity, Status
from face_index.vault.licences import grant_licence, licences_of, revoke_licence
from reports.cases.case_summary import CaseSummary
from reports.cases.review import CaseStatus
from scanner.scanning.scan_store import Coverage
from scanner.web.auth.access import Permission
from scanner.web.auth.authentication import asks
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted, PostedWithFiles
from scanner.web.rendering import go, page, told
from scanner.web.service_pool import PageCaseService
from scanner.web.views.enrolling import MOST_DAYS, checked_document, last_day
from scanner.web.views.own_account import day_in

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
Mine = Annotated[Session, asks(Permission.LIKENESS)]


# What a licence can name; anything else would allow nothing, in silence.
_VALUES = {
    LicenceKind.UPLOADER: r"[a-z0-9][\w.-]*:\S.{0,200}", LicenceKind.MODEL: r"[0-9a-fA-F]{64}", LicenceKind.HUB: r"[a-z0-9][\w.-]*",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A likeness as its holder sees it first.

    Attributes:
        identity: None once it was erased.
        receipt: of the erasure.
        searched_since: when somebody approved it, UTC; None while it waits.
        earlier: files that were examined before that, and so not compared with this face.
    """

    identity_id: str
    identity: Identity | None
    receipt: dict[str, Any] | None
    cases: tuple[CaseSummary, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    searched_since: str | None = None
    earlier: int = 0

    @property
    def examined(self) -> int:
        return sum(one.examined for one in self.coverage)


@router.get("/likeness")
def overview(request: Request, here: Here, session: Mine) -> Response:
    """Everyone this account acts for; whoever is alone goes to their own page."""
    ids = list(here.accounts.identities_of(session.account.account_id))
    with here.services.one(session.account.actor) as service:
        standings = [
            one for one in (standing_of(service, identity_id) for identity_id in ids) if one
        ]
    draft = here.drafts.of(session.account.account_id, here.clock())
    return page(
        request, "likenesses.html", standings=standings, draft=draft, today=here.clock().date()
    )


@router.get("/likeness/{identity_id}")
def show(request: Request, identity_id: str, here: Here, session: Mine) -> Response:
    return _page(request, here, session, identity_id)


@router.post("/likeness/{identity_id}/consent")
def renew(
    request: Request, identity_id: str, here: Here, session: Mine, form: PostedWithFiles
) -> Response:
    """A newer consent, with another last day or other terms."""
    try:
        with here.services.one(session.account.actor) as service:
            identity = owned(here, session, service, identity_id)
            now = here.clock()
            if not form.ticked("agree"):
                raise FormRefused("no-consent")
            if form.text("terms") not in list(Terms):
                raise FormRefused("no-such-choice")
            consent = replace(
                identity.consent, signed_on=now.date(), expires_on=last_day(form, now.date()), terms=Terms(form.text("terms")),
                text_version=CONSENT_TEXT_VERSION,
            )  # fmt: skip
            if consent.signatory != Signatory.SELF:
                document = checked_document(form.sent("signed_document"), "no-document")
                consent = replace(
                    consent, document_sha256=hashlib.sha256(document.data).hexdigest()
                )
            service.vault.renew(identity_id, consent, session.account.actor, now)
    except (FormRefused, ConsentMissing) as error:
        return _page(request, here, session, identity_id, error)
    return go(f"/likeness/{identity_id}", "renewed")


@router.post("/likeness/{identity_id}/licences")
def grant(request: Request, identity_id: str, here: Here, session: Mine, form: Posted) -> Response:
    """Allow a model, an uploader or a hub until a day."""
    try:
        with here.services.one(session.account.actor) as service:
            owned(here, session, service, identity_id)
            kind, value = form.text("kind"), form.text("value", 300)
            if kind not in list(LicenceKind):
                raise FormRefused("no-such-choice")
            if not re.fullmatch(_VALUES[LicenceKind(kind)], value):
                raise FormRefused("no-licence", "value")
            until = day_in(form, "until")
            if until < here.clock().date():
                raise FormRefused("no-date", "until")
            grant_licence(
                service.vault, identity_id, LicenceKind(kind), value, until, note=form.text("note", 500),
                actor=session.account.actor, now=here.clock(),
            )  # fmt: skip
    except FormRefused as error:
        return _page(request, here, session, identity_id, error)
    return go(f"/likeness/{identity_id}", "licence")


@router.post("/likeness/{identity_id}/licences/{licence_id}/end")
def end_licence(
    identity_id: str,
    licence_id: str,
    here: Here,
    session: Mine,
    form: Posted,  # noqa: ARG001  checked
) -> Response:
    with here.services.one(session.account.actor) as service:
        owned(here, session, service, identity_id)
        if licence_id not in {one.licence_id for one in licences_of(service.vault, identity_id)}:
            raise NotThere("no such licence")
        revoke_licence(service.vault, licence_id, session.account.actor, here.clock())
    return go(f"/likeness/{identity_id}", "ended")


@router.get("/likeness/{identity_id}/withdraw")
def ask_to_withdraw(request: Request, identity_id: str, here: Here, session: Mine) -> Response:
    with here.services.one(session.account.actor) as service:
        identity = owned(here, session, service, identity_id)
    return page(request, "withdraw.html", identity=identity)


@router.post("/likeness/{identity_id}/withdraw")
def withdraw(identity_id: str, here: Here, session: Mine, form: Posted) -> Response:  # noqa: ARG001  checked
    """Erase at once; the page after it shows the receipt."""
    with here.services.one(session.account.actor) as service:
        identity = owned(here, session, service, identity_id)
        if identity.status == Status.ACTIVE:
            service.vault.withdraw(identity_id, here.clock(), session.account.actor)
        else:
            service.vault.withdraw(
                identity_id, here.clock(), session.account.actor, "withdrawn before approval"
            )
    return go(f"/likeness/{identity_id}")


@router.get("/likeness/{identity_id}/receipt.json")
def receipt(identity_id: str, here: Here, session: Mine) -> Response:
    """The signed erasure receipt, as `portrait-scanner receipt` checks it."""
    if identity_id not in here.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    with here.services.one(session.account.actor) as service:
        found = receipt_of(service, identity_id)
    if found is None:
        raise NotThere("no such receipt")
    headers = {"Content-Disposition": f'attachment; filename="erasure-{identity_id[:8]}.json"'}
    return Response(
        json.dumps(found, ensure_ascii=False, indent=2),
        media_type="application/json",
        headers=headers,
    )


def owned(
    here: AppContext, session: Session, service: PageCaseService, identity_id: str
) -> Identity:
    """An identity that this account acts for; anyone else's is as little there as one that never was."""
    if identity_id not in here.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    try:
        return service.vault.find(identity_id)
    except UnknownIdentity as error:
        raise NotThere("no such likeness") from error


def receipt_of(service: PageCaseService, identity_id: str) -> dict[str, Any] | None:
    """The receipt of an erased identity."""
    rows = service.vault.db.table("erasures").rows_where("identity_id = ?", [identity_id])
    return next((json.loads(row["receipt"]) for row in rows), None)


def standing_of(service: PageCaseService, identity_id: str) -> Standing | None:
    """Where a likeness stands; None if there is no trace of it."""
    known = service.case_store.summaries(identity_id)
    cases = tuple(case for case in reversed(known) if case.status != CaseStatus.SUPERSEDED)
    try:
        identity = service.vault.find(identity_id)
    except UnknownIdentity:
        gone = receipt_of(service, identity_id)
        return Standing(identity_id, None, gone, cases) if gone else None
    proofs = service.vault.proofs_of(identity_id)
    if identity.status != Status.ACTIVE or not proofs:
        return Standing(identity_id, identity, None, cases)
    since = proofs[-1].checked_at.isoformat()
    coverage = tuple(service.scan_store.coverage(since))
    earlier = sum(one.examined for one in service.scan_store.coverage("")) - sum(
        one.examined for one in coverage
    )
    return Standing(identity_id, identity, None, cases, coverage, since, max(0, earlier))


def _page(
    request: Request,
    here: AppContext,
    session: Session,
    identity_id: str,
    problem: Exception | None = None,
) -> Response:
    if identity_id not in here.accounts.identities_of(session.account.account_id):
        raise NotThere("no such likeness")
    today = here.clock().date()
    with here.services.one(session.account.actor) as service:
        standing = standing_of(service, identity_id)
        if standing is None:
            raise NotThere("no such likeness")
        if standing.identity is None:
            return page(
                request, "erased.html", standing=standing, fingerprint=service.vault.fingerprint
            )
        licences = licences_of(service.vault, identity_id)
    return page(
        request, "likeness.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        standing=standing, identity=standing.identity, licences=licences, today=today, texts=CONSENT_TEXT,
        tomorrow=today + timedelta(days=1), last=today + timedelta(days=MOST_DAYS),
        ends_soon=standing.identity.consent.expires_within(30, today),
    )  # fmt: skip
