"""Registering a likeness: the consent first, then photos, which are checked one by one."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from face_index.consent import (
    CONSENT_TEXT,
    CONSENT_TEXT_VERSION,
    Consent,
    Signatory,
    Terms,
    is_minor,
)
from face_index.errors import ConsentMissing, NameRefused
from face_index.faces.photos import PhotoFile
from face_index.faces.refusals import Refusal, Why
from face_index.registration.enrolment import MIN_PHOTOS, check_photo
from face_index.registration.photo_names import labels_of
from face_index.registration.registration import Request as Registration
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from face_index.vault import Document
from face_index.vault.names import checked_name
from reports.documents.words import Translate
from scanner.web.auth.access import Permission, Role
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext
from scanner.web.dependencies import Context, requires_permission
from scanner.web.drafts import Draft
from scanner.web.errors import FormRefused
from scanner.web.forms import Form, Posted, PostedWithFiles, SentFile
from scanner.web.photo_previews import place_of, preview_of
from scanner.web.rendering import error_text, redirect, render_page, whole_number
from scanner.web.translation import language_of, translations

router = APIRouter(include_in_schema=False)
Mine = Annotated[Session, requires_permission(Permission.LIKENESS)]
DEFAULT_DAYS, MAX_DAYS = 730, 5 * 366
MAX_PHOTOS = 40
_CHECKS_PER_MINUTE = 60
_MEDIA_TYPES = {
    b"%PDF-": "application/pdf",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n": "image/png",
}
PROOFS = ("passport", "identity card", "driving licence")


@router.get("/likeness/new")
def ask_for_consent(request: Request, context: Context, session: Mine) -> Response:
    return _consent_page(request, context, session, Form({}))


@router.post("/likeness/new")
def agree(request: Request, context: Context, session: Mine, form: Posted) -> Response:
    """Store the consent; nothing else is accepted before it."""
    try:
        draft = _draft(context, form)
    except (FormRefused, NameRefused, ConsentMissing) as error:
        return _consent_page(request, context, session, form, error)
    context.drafts.keep(session.account.account_id, draft, context.clock())
    return redirect("/likeness/new/photos", "agreed")


@router.get("/likeness/new/photos")
def ask_for_photos(request: Request, context: Context, session: Mine) -> Response:
    draft = context.drafts.of(session.account.account_id, context.clock())
    return redirect("/likeness/new") if draft is None else _photos_page(request, draft)


@router.post("/likeness/new/check")
def check_one(request: Request, context: Context, session: Mine, form: PostedWithFiles) -> Response:
    """Check a single photo in memory; the answer is JSON, and nothing is stored."""
    if context.drafts.of(session.account.account_id, context.clock()) is None:
        raise FormRefused("no-consent")
    context.rate_limiter.check(_CHECKS_PER_MINUTE, "check", session.account.account_id)
    files = form.sent("photo")
    if not files:
        raise FormRefused("no-photos")
    photo = PhotoFile(files[0].name, files[0].data)
    with context.face_service.reader() as reader:
        check = check_photo(reader, context.face_service.pack.bar, photo)
    language = language_of(request)
    document: dict[str, Any] = {
        "accepted": check.refusal is None,
        "reason": refusal_sentence(check.refusal, language),
    }
    if check.pixels is not None and len(check.faces) > 1:
        document |= {
            "reason": translations(language).gettext(
                "several people; the one whom the other photos show is taken. Tap a face to choose"
            ),
            "picture": preview_of(check.pixels),
            "faces": [place_of(number, box, check.pixels) for number, box in check.faces],
        }
    return JSONResponse(document)


@router.post("/likeness/new/photos")
def submit(request: Request, context: Context, session: Mine, form: PostedWithFiles) -> Response:
    """Enrol the person with photos and documents; a refusal says why for each photo."""
    account = session.account
    draft = context.drafts.of(account.account_id, context.clock())
    if draft is None:
        return redirect("/likeness/new")
    try:
        photos = [PhotoFile(file.name, file.data) for file in form.sent("photos")]
        if not MIN_PHOTOS <= len(photos) <= MAX_PHOTOS:
            raise FormRefused("no-photos")
        documents, draft = _documents(form, draft)
        # The approver must see the face once; these copies are deleted after the decision.
        if not draft.keep_photos:
            documents += [Document("photo", photo.data) for photo in photos[:4]]
        registration = Registration(
            name=draft.name,
            photos=photos,
            consent=draft.consent,
            submitted_by=account.actor,
            born_on=draft.born_on,
            keep_photos=draft.keep_photos,
            picks=_picks(form, photos),
            documents=documents,
            shares_name=True,
        )
        with (
            context.services.acquire(account.actor) as service,
            context.face_service.reader() as reader,
        ):
            identity, _ = context.face_service.registrar(service.vault, reader).register(
                registration, context.clock()
            )
    except (EnrolmentRefused, FormRefused, ConsentMissing) as error:
        return _photos_page(request, draft, error)
    context.drafts.forget(account.account_id)
    is_agent = Role.AGENT in account.roles and draft.consent.signatory == Signatory.AGENT
    context.accounts.give_mandate(
        account.account_id, identity.identity_id, "agent" if is_agent else "self"
    )
    done = "submitted-without-some" if identity.photo_count < len(photos) else "submitted"
    return redirect(f"/likeness/{identity.identity_id}", done)


def _picks(form: Form, photos: list[PhotoFile]) -> dict[str, int]:
    """The faces that were tapped, by the photo's name; the page sends "PHOTO:FACE", from 0 and 1.

    Raises:
        FormRefused: a field has another form.
    """
    labels, picks = labels_of(photos), {}
    for item in form.all("pick"):
        photo, face = (whole_number(part) for part in (*item.split(":"), "")[:2])
        if photo is None or face is None or photo >= len(labels):
            raise FormRefused("no-such-choice")
        picks[labels[photo]] = face
    return picks


def refusal_sentence(refusal: Refusal | None, language: str) -> str | None:
    """Why a photo is refused, without advice that only the command line can follow."""
    if refusal is None:
        return None
    t = translations(language).gettext
    if refusal.why == Why.NOT_AN_IMAGE:
        return t("not a picture that can be read; save it again as JPEG or PNG")
    if refusal.why == Why.SEVERAL_FACES:
        return t(
            "several people, and nothing says who is meant: choose the photos again and tap the "
            "face, or crop the photo"
        )
    return refusal.text(language)


def checked_document(files: list[SentFile], missing: str) -> SentFile:
    """The document of a field, if it begins like a PDF, JPEG or PNG; raises FormRefused."""
    if not files:
        raise FormRefused(missing)
    if media_type_of(files[0].data) is None:
        raise FormRefused("not-a-document", files[0].name)
    return files[0]


def media_type_of(data: bytes) -> str | None:
    """The media type of a document by its first bytes; None for any but PDF, JPEG and PNG."""
    return next((kind for start, kind in _MEDIA_TYPES.items() if data.startswith(start)), None)


def _draft(context: AppContext, form: Form) -> Draft:
    today = context.clock().date()
    name = checked_name(form.text("name", 300))
    if not form.ticked("agree"):
        raise FormRefused("no-consent")
    try:
        signatory, terms = Signatory(form.text("signatory")), Terms(form.text("terms"))
    except ValueError as error:
        raise FormRefused("no-such-choice") from error
    signer = name if signatory == Signatory.SELF else form.text("signed_by", 200)
    if not signer:
        raise FormRefused("no-answer", "signed_by")
    born_on = form.day("born_on") if form.text("born_on") else None
    if is_minor(born_on, today) and signatory != Signatory.GUARDIAN:
        raise ConsentMissing("under 18 a guardian consents")
    names = (name.strip() for name in form.text("territories", 500).split(","))
    territories = tuple(filter(None, names))
    consent = Consent(
        signer,
        today,
        last_day(form, today),
        None,
        CONSENT_TEXT_VERSION,
        terms,
        signatory=signatory,
        territories=territories or ("worldwide",),
    )
    return Draft(name, consent, born_on, keep_photos=form.ticked("keep_photos"))


def last_day(form: Form, today: date) -> date:
    """The last day of a consent, from tomorrow to five years ahead; raises FormRefused."""
    day = form.day("expires_on")
    if not today < day <= today + timedelta(days=MAX_DAYS):
        raise FormRefused("no-date", "expires_on")
    return day


def _documents(form: Form, draft: Draft) -> tuple[list[Document], Draft]:
    kind = form.text("proof_kind")
    if kind not in PROOFS:
        raise FormRefused("no-such-choice")
    documents = [Document(kind, checked_document(form.sent("proof"), "no-proof").data)]
    if draft.consent.signatory != Signatory.SELF:
        signed = checked_document(form.sent("signed_document"), "no-document").data
        documents.append(Document(f"consent signed by {draft.consent.signatory}", signed))
        draft = draft.signed(hashlib.sha256(signed).hexdigest())
    return documents, draft


def _consent_page(
    request: Request,
    context: AppContext,
    session: Session,
    form: Form,
    problem: Exception | None = None,
) -> Response:
    today = context.clock().date()
    agent = Role.AGENT in session.account.roles
    account = session.account
    is_first = not agent and not context.accounts.identities_of(account.account_id)
    last = (today + timedelta(days=DEFAULT_DAYS)).isoformat()
    values = {
        "name": form.text("name") or (account.name if is_first else ""),
        "signatory": form.text("signatory") or str(Signatory.AGENT if agent else Signatory.SELF),
        "signed_by": form.text("signed_by") or (account.name if agent else ""),
        "born_on": form.text("born_on"),
        "terms": form.text("terms") or str(Terms.PROHIBITED),
        "territories": form.text("territories"),
        "expires_on": form.text("expires_on") or last,
    }
    return render_page(
        request,
        "consent.html",
        problem=problem,
        values=values,
        agent=agent,
        texts=CONSENT_TEXT,
        first=today + timedelta(days=1),
        last=today + timedelta(days=MAX_DAYS),
        today=today,
        keep_photos=form.ticked("keep_photos") or not form.fields,
    )


def _photos_page(request: Request, draft: Draft, problem: Exception | None = None) -> Response:
    language = language_of(request)
    t = translations(language).gettext
    verdicts = _verdicts(problem.report, language) if isinstance(problem, EnrolmentRefused) else []
    if isinstance(problem, EnrolmentRefused):
        sentence = t(
            "Only %(count)s of these photos can be used; %(needed)s are needed. Choose them again."
        )
        if problem.report.people:
            sentence = t(
                "These photos show %(people)s people who do not look alike. Choose photos of one "
                "person only."
            )
        facts = {
            "count": problem.report.accepted,
            "needed": problem.report.needed,
            "people": len(problem.report.people),
        }
        text = sentence % facts
    else:
        text = error_text(request, problem) if problem else ""
    if text:
        text += " " + t("The files were not kept: choose photos and documents again.")
    return render_page(
        request,
        "photos.html",
        422 if problem else 200,
        draft=draft,
        problem=text,
        verdicts=verdicts,
        needed=MIN_PHOTOS,
        most=MAX_PHOTOS,
        proofs=proof_words(t),
    )


def proof_words(t: Translate) -> dict[str, str]:
    """The labels of documents of identity."""
    return {
        "passport": t("passport"),
        "identity card": t("identity card"),
        "driving licence": t("driving licence"),
    }


def document_words(t: Translate) -> dict[str, str]:
    """The labels of all documents of a registration."""
    return {
        **proof_words(t),
        "photo": t("photo"),
        "consent signed by guardian": t("consent signed by the guardian"),
        "consent signed by agent": t("power of attorney of the agent"),
    }


def _verdicts(report: EnrolmentReport, language: str) -> list[tuple[str, str | None, str]]:
    """Name, reason of the refusal, and what was chosen in an accepted photo."""
    return [
        (
            photo.name,
            refusal_sentence(photo.refusal, language),
            photo.choice.text(language) if photo.choice else "",
        )
        for photo in report.photos
    ]
