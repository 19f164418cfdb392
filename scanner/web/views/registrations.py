"""Registrations that wait for approval: documents, consent, look-alikes.

Somebody other than the submitter approves them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from face_index.errors import FaceIndexError, NotDecidable, UnknownIdentity
from face_index.faces.photos import PhotoRefused, photo_from
from face_index.identity import Identity, Proof, Status
from face_index.vault.people import PersonFilter
from reports.documents.pictures import pixels_uri
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account, holder_actor
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.errors import FormRefused, NotThere
from scanner.web.forms import Posted
from scanner.web.rendering import redirect, render_page
from scanner.web.service_pool import PageCaseService
from scanner.web.translation import language_of, translations
from scanner.web.views.downloads import attachment
from scanner.web.views.enrolling import document_words, media_type_of

router = APIRouter(include_in_schema=False, prefix="/registrations")
Decider = Annotated[Session, requires_permission(Permission.REGISTRATIONS)]
_PAGE_SIZE = 100
_PICTURE_PX = 420


@router.get("")
def listed(request: Request, context: Context, session: Decider) -> Response:
    """Waiting registrations first, then everyone registered."""
    query = request.query_params.get("q", "")[:200]
    after = request.query_params.get("after", "")[:200] or None
    with context.services.acquire(session.account.actor) as service:
        people = service.vault.people
        waiting = [
            _as_shown_to(context, session.account, person)
            for person in people.page(PersonFilter(query, active=False))
        ]
        approved = PersonFilter(query, active=True)
        found = people.page(approved, after=after, limit=_PAGE_SIZE + 1)
        total = people.count(approved)
    waiting.sort(key=lambda person: person.submitted_at)
    active = found[:_PAGE_SIZE]
    return render_page(
        request,
        "registrations.html",
        waiting=waiting[:_PAGE_SIZE],
        more_waiting=max(0, len(waiting) - _PAGE_SIZE),
        active=active,
        total=total,
        following=active[-1].identity_id if len(found) > _PAGE_SIZE else None,
        q=query,
        today=context.clock().date(),
    )


@router.get("/{identity_id}")
def show(request: Request, identity_id: str, context: Context, session: Decider) -> Response:
    return _page(request, context, session, identity_id)


@router.post("/{identity_id}/documents/{document_id}")
def read_document(
    identity_id: str,
    document_id: str,
    context: Context,
    session: Decider,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    """A document as a file; who read it is logged."""
    with context.services.acquire(session.account.actor) as service:
        _identity(service, identity_id)
        try:
            data = service.vault.documents.read(
                identity_id, document_id, session.account.actor, context.clock()
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
    context: Context,
    session: Decider,
    form: Posted,  # noqa: ARG001  checks the form
) -> Response:
    """Photos beside the documents that are pictures; each time is logged."""
    actor, now = session.account.actor, context.clock()
    with context.services.acquire(actor) as service:
        identity = _identity(service, identity_id)
        documents = [
            (document, service.vault.documents.read(identity_id, document.document_id, actor, now))
            for document in service.vault.documents.list_for(identity_id)
        ]
        photos = service.vault.photos.show(identity_id, actor, now)
    return render_page(
        request,
        "compare.html",
        identity=identity,
        photos=[_picture(photo) for photo in photos],
        documents=[(document, _picture(data)) for document, data in documents],
        document_words=_document_words(request),
    )


def _picture(data: bytes) -> Markup | None:
    """A picture as a data URI, decoded within the limits of photos; None for anything else."""
    if media_type_of(data) == "application/pdf":
        return None
    try:
        pixels = photo_from("", data).pixels
    except PhotoRefused:
        return None
    return pixels_uri(pixels, _PICTURE_PX)


@router.post("/{identity_id}/approve")
def approve(
    request: Request, identity_id: str, context: Context, session: Decider, form: Posted
) -> Response:
    account, now = session.account, context.clock()
    try:
        with context.services.acquire(account.actor) as service:
            identity = _identity(service, identity_id)
            if _is_submitter(context, account, identity):
                raise FormRefused("submitted-it")
            kind = form.text("proof", 100)
            if not kind or not form.ticked("compared"):
                raise FormRefused("no-answer", "proof")
            if not _has_read_documents(service, identity_id, account.actor):
                raise FormRefused("not-opened")
            documents = service.vault.documents.list_for(identity_id)
            sha256 = next((one.sha256 for one in documents if one.kind == kind), None)
            proof = Proof(kind, sha256, account.actor, now)
            service.vault.enrolments.approve(
                identity.identity_id, account.actor, proof, now, form.text("reason")
            )
    except (NotDecidable, FormRefused) as error:
        return _page(request, context, session, identity_id, error)
    return redirect("/registrations", "approved")


@router.post("/{identity_id}/reject")
def reject(
    request: Request, identity_id: str, context: Context, session: Decider, form: Posted
) -> Response:
    """Reject and erase a registration; the reason is kept, without the name."""
    try:
        if not form.text("reason"):
            raise FormRefused("no-reason")
        with context.services.acquire(session.account.actor) as service:
            _identity(service, identity_id)
            service.vault.enrolments.reject(
                identity_id, session.account.actor, form.text("reason"), context.clock()
            )
    except (FaceIndexError, FormRefused) as error:
        return _page(request, context, session, identity_id, error)
    return redirect("/registrations", "rejected")


def _is_submitter(context: AppContext, account: Account, identity: Identity) -> bool:
    """Whether an account submitted a registration, by any of its names, or acts for the person."""
    agents = context.accounts.acting_for(identity.identity_id)
    names = {account.email, holder_actor(account.account_id)}
    return (
        any(agent.account_id == account.account_id for agent in agents)
        or identity.submitted_by.strip().casefold() in names
    )


def _as_shown_to(context: AppContext, account: Account, identity: Identity) -> Identity:
    """A registration as an account may see it.

    Its submitter must not learn that the face is that of somebody who is registered.
    """
    hidden = identity.status == Status.CONFLICT and _is_submitter(context, account, identity)
    return replace(identity, status=Status.PENDING) if hidden else identity


def _has_read_documents(service: PageCaseService, identity_id: str, actor: str) -> bool:
    """Whether somebody has opened every document, according to the audit log."""
    read = {
        entry.details.get("document_sha256")
        for entry in service.vault.audit.about(identity_id)
        if entry.event == "document read" and entry.actor == actor
    }
    return {document.sha256 for document in service.vault.documents.list_for(identity_id)} <= read


def _document_words(request: Request) -> dict[str, str]:
    return document_words(translations(language_of(request)).gettext)


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
    context: AppContext,
    session: Session,
    identity_id: str,
    problem: Exception | None = None,
) -> Response:
    with context.services.acquire(session.account.actor) as service:
        identity = _identity(service, identity_id)
        is_own = _is_submitter(context, session.account, identity)
        alike = [] if is_own else service.vault.people.lookalikes_of(identity_id)
        if alike:
            service.vault.audit.record(
                "look-alikes shown", identity_id, session.account.actor, context.clock()
            )
        facts: dict[str, Any] = {
            "documents": service.vault.documents.list_for(identity_id),
            "lookalikes": alike,
            "namesakes": [] if is_own else service.vault.people.namesakes_of(identity),
            "consents": service.vault.consents.history(identity_id),
            "proofs": service.vault.documents.proofs_of(identity_id),
        }
    agents = [agent.email for agent in context.accounts.acting_for(identity_id)]
    today = context.clock().date()
    return render_page(
        request,
        "registration.html",
        problem=problem,
        identity=_as_shown_to(context, session.account, identity),
        is_own=is_own,
        agents=agents,
        document_words=_document_words(request),
        is_waiting=identity.status != Status.ACTIVE,
        is_minor=identity.is_minor(today),
        **facts,
    )
