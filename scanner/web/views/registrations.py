"""People who wait to be let into the gallery: papers, consent, look-alikes; approved by somebody other than who brought them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from markupsafe import Markup

from face_index.errors import FaceIndexError, NotDecidable, UnknownIdentity
from face_index.faces.photos import PhotoRefused, photo_from
from face_index.identity import Identity, Proof, Status
from reports.documents.pictures import pixels_uri
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account, holder_actor
from scanner.web.auth.authentication import asks
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import go, page, told
from scanner.web.service_pool import PageCaseService
from scanner.web.views.downloads import attachment
from scanner.web.views.enrolling import media_type_of

router = APIRouter(include_in_schema=False, prefix="/registrations")
Here = Annotated[AppContext, Depends(app_context_of)]
Decider = Annotated[Session, asks(Permission.REGISTRATIONS)]
_SHOWN = 500
_LARGEST = 420


@router.get("")
def listed(request: Request, here: Here, session: Decider) -> Response:
    """Who waits first, then everyone registered."""
    wanted = request.query_params.get("q", "")[:200].casefold()
    with here.services.one(session.account.actor) as service:
        people = [
            one
            for one in service.vault.people.all()
            if wanted in f"{one.name} {one.reference or ''} {one.identity_id}".casefold()
        ]
    waiting = sorted(
        (_as_shown_to(here, session.account, one) for one in people if one.status != Status.ACTIVE),
        key=lambda one: one.submitted_at,
    )
    active = [one for one in people if one.status == Status.ACTIVE]
    return page(
        request, "registrations.html", waiting=waiting, active=active[:_SHOWN], more=max(0, len(active) - _SHOWN),
        q=request.query_params.get("q", "")[:200], today=here.clock().date(),
    )  # fmt: skip


@router.get("/{identity_id}")
def show(request: Request, identity_id: str, here: Here, session: Decider) -> Response:
    return _page(request, here, session, identity_id)


@router.post("/{identity_id}/documents/{document_id}")
def read_document(
    identity_id: str,
    document_id: str,
    here: Here,
    session: Decider,
    form: Posted,  # noqa: ARG001  checked
) -> Response:
    """A paper as a file to look at; who read it is in the log."""
    with here.services.one(session.account.actor) as service:
        _identity(service, identity_id)
        try:
            data = service.vault.documents.read(
                identity_id, document_id, session.account.actor, here.clock()
            )
        except UnknownIdentity as error:
            raise NotThere("no such document") from error
    kind = media_type_of(data) or "application/octet-stream"
    ending = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}.get(kind, "bin")
    return attachment(data, f"document-{document_id[:8]}.{ending}", kind)


@router.post("/{identity_id}/compare")
def compare(
    request: Request,
    identity_id: str,
    here: Here,
    session: Decider,
    form: Posted,  # noqa: ARG001  checked
) -> Response:
    """Photos beside the papers that are pictures; each look is in the log."""
    actor, now = session.account.actor, here.clock()
    with here.services.one(actor) as service:
        identity = _identity(service, identity_id)
        papers = [
            (one, service.vault.documents.read(identity_id, one.document_id, actor, now))
            for one in service.vault.documents.list_for(identity_id)
        ]
        photos = service.vault.photos.show(identity_id, actor, now)
    return page(
        request, "compare.html", identity=identity, photos=[_shown(photo) for photo in photos],
        papers=[(one.kind, _shown(data) if media_type_of(data) != "application/pdf" else None, one.document_id) for one, data in papers],
    )  # fmt: skip


def _shown(data: bytes) -> Markup | None:
    """A sent picture as a data URI, decoded within the limits of photos and encoded anew; None if it is none."""
    try:
        pixels = photo_from("", data).pixels
    except PhotoRefused:
        return None
    return pixels_uri(pixels, _LARGEST)


@router.post("/{identity_id}/approve")
def approve(
    request: Request, identity_id: str, here: Here, session: Decider, form: Posted
) -> Response:
    account, now = session.account, here.clock()
    try:
        with here.services.one(account.actor) as service:
            identity = _identity(service, identity_id)
            if _brought(here, account, identity):
                raise NotDecidable(
                    "who brought a registration, or acts for the person, cannot approve it as well"
                )
            kind = form.text("proof", 100)
            if not kind or not form.ticked("compared"):
                raise FormRefused("no-answer", "proof")
            if not _has_looked(service, identity_id, account.actor):
                raise FormRefused("not-opened")
            seen = next(
                (
                    one.sha256
                    for one in service.vault.documents.list_for(identity_id)
                    if one.kind == kind
                ),
                None,
            )
            service.vault.enrolments.approve(
                identity.identity_id,
                account.actor,
                Proof(kind, seen, account.actor, now),
                now,
                form.text("reason"),
            )
    except (NotDecidable, FormRefused) as error:
        return _page(request, here, session, identity_id, error)
    return go("/registrations", "approved")


@router.post("/{identity_id}/reject")
def reject(
    request: Request, identity_id: str, here: Here, session: Decider, form: Posted
) -> Response:
    """Refuse and erase; the reason stays, without the name."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with here.services.one(session.account.actor) as service:
            _identity(service, identity_id)
            service.vault.enrolments.reject(
                identity_id, session.account.actor, form.text("reason"), here.clock()
            )
    except (FaceIndexError, FormRefused) as error:
        return _page(request, here, session, identity_id, error)
    return go("/registrations", "rejected")


def _brought(here: AppContext, account: Account, identity: Identity) -> bool:
    """Whether somebody brought a registration, by whatever name they had then, or acts for the person."""
    acting = {one.account_id for one in here.accounts.acting_for(identity.identity_id)}
    own = {account.email, holder_actor(account.account_id)}
    return account.account_id in acting or identity.submitted_by.strip().casefold() in own


def _as_shown_to(here: AppContext, account: Account, identity: Identity) -> Identity:
    """A registration without what would tell whoever brought it that the face is somebody's who is registered."""
    hidden = identity.status == Status.CONFLICT and _brought(here, account, identity)
    return replace(identity, status=Status.PENDING) if hidden else identity


def _has_looked(service: PageCaseService, identity_id: str, actor: str) -> bool:
    """Whether somebody opened every paper that was sent, as the audit log knows."""
    read = {
        entry.details.get("document_sha256")
        for entry in service.vault.audit.about(identity_id)
        if entry.event == "document read" and entry.actor == actor
    }
    return {one.sha256 for one in service.vault.documents.list_for(identity_id)} <= read


def _identity(service: PageCaseService, identity_id: str) -> Identity:
    try:
        identity = service.vault.people.find(identity_id)
    except UnknownIdentity as error:
        raise NotThere("no such registration") from error
    if identity.identity_id != identity_id:
        raise NotThere("no such registration")
    return identity


def _page(
    request: Request,
    here: AppContext,
    session: Session,
    identity_id: str,
    problem: Exception | None = None,
) -> Response:
    with here.services.one(session.account.actor) as service:
        identity = _identity(service, identity_id)
        own = _brought(here, session.account, identity)
        alike = [] if own else service.vault.people.lookalikes_of(identity_id)
        if alike:
            service.vault.audit.record(
                "look-alikes shown", identity_id, session.account.actor, here.clock()
            )
        facts = {
            "documents": service.vault.documents.list_for(identity_id),
            "lookalikes": alike,
            "namesakes": [] if own else service.vault.people.namesakes_of(identity),
            "consents": service.vault.consents.history(identity_id),
            "proofs": service.vault.documents.proofs_of(identity_id),
        }
    brought_by = [one.email for one in here.accounts.acting_for(identity_id)]
    today = here.clock().date()
    return page(
        request, "registration.html", 422 if problem else 200, problem=told(request, problem) if problem else None,
        identity=_as_shown_to(here, session.account, identity), own=own, brought_by=brought_by, waits=identity.status != Status.ACTIVE, minor=identity.is_minor(today), today=today, **facts,
    )  # fmt: skip
