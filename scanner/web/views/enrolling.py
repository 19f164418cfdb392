"""Registering a likeness: consent in plain words first, then photos that are checked one by one and kept nowhere."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
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
from face_index.registration.enrolment import MIN_PHOTOS, open_faces
from face_index.registration.registration import Request as Registration
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from face_index.vault import Document
from face_index.vault.names import checked_name
from reports.documents.words import Translate
from scanner.web.auth.access import Permission, Role
from scanner.web.auth.authentication import asks, language_of
from scanner.web.auth.sessions import Session
from scanner.web.context import AppContext, app_context_of
from scanner.web.drafts import Draft
from scanner.web.errors import FormRefused
from scanner.web.forms import Form, Posted, PostedWithFiles, SentFile
from scanner.web.rendering import go, page, told
from scanner.web.translation import translations
from scanner.web.views.own_account import day_in

router = APIRouter(include_in_schema=False)
Here = Annotated[AppContext, Depends(app_context_of)]
Mine = Annotated[Session, asks(Permission.LIKENESS)]
DAYS, MOST_DAYS = 730, 5 * 366
MOST_PHOTOS = 40
_CHECKS_PER_MINUTE = 60
_DOCUMENT_STARTS = {
    b"%PDF-": "application/pdf",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n": "image/png",
}
PROOFS = ("passport", "identity card", "driving licence")


@router.get("/likeness/new")
def ask_for_consent(request: Request, here: Here, session: Mine) -> Response:
    return _consent_page(request, here, session, Form({}))


@router.post("/likeness/new")
def agree(request: Request, here: Here, session: Mine, form: Posted) -> Response:
    """Note the consent; nothing else is taken before it."""
    try:
        draft = _draft(here, form)
    except (FormRefused, NameRefused, ConsentMissing) as error:
        return _consent_page(request, here, session, form, error)
    here.drafts.keep(session.account.account_id, draft, here.clock())
    return go("/likeness/new/photos", "agreed")


@router.get("/likeness/new/photos")
def ask_for_photos(request: Request, here: Here, session: Mine) -> Response:
    draft = here.drafts.of(session.account.account_id, here.clock())
    return go("/likeness/new") if draft is None else _photos_page(request, draft)


@router.post("/likeness/new/check")
def check_photo(request: Request, here: Here, session: Mine, form: PostedWithFiles) -> Response:
    """What is to be said of one photo by itself, as JSON; it is looked at in memory and forgotten."""
    if here.drafts.of(session.account.account_id, here.clock()) is None:
        raise FormRefused("no-consent")
    here.must_be_within(_CHECKS_PER_MINUTE, "check", session.account.account_id)
    sent = form.sent("photo")[:1]
    if not sent:
        raise FormRefused("no-photos")
    with here.faces.reader() as reader:
        [seen] = open_faces(reader, here.faces.pack.bar, [PhotoFile(sent[0].name, sent[0].data)])
    refusal = seen if isinstance(seen, Refusal) else None
    return JSONResponse(
        {"accepted": refusal is None, "reason": refusal_sentence(refusal, language_of(request))}
    )


@router.post("/likeness/new/photos")
def submit(request: Request, here: Here, session: Mine, form: PostedWithFiles) -> Response:
    """Make the template and submit it with the papers; what is refused says why, photo by photo."""
    account = session.account
    draft = here.drafts.of(account.account_id, here.clock())
    if draft is None:
        return go("/likeness/new")
    try:
        photos = [PhotoFile(one.name, one.data) for one in form.sent("photos")]
        if not MIN_PHOTOS <= len(photos) <= MOST_PHOTOS:
            raise FormRefused("no-photos")
        documents, draft = _papers(form, draft)
        if (
            not draft.keep_photos
        ):  # whoever decides must see the face once; copies go with the decision
            documents += [Document("photo", one.data) for one in photos[:4]]
        registration = Registration(
            name=draft.name, photos=photos, consent=draft.consent, submitted_by=account.actor, born_on=draft.born_on,
            keep_photos=draft.keep_photos, documents=documents, shares_name=True,
        )  # fmt: skip
        with here.services.one(account.actor) as service, here.faces.reader() as reader:
            identity, _ = here.faces.registrar(service.vault, reader).register(
                registration, here.clock()
            )
    except (EnrolmentRefused, FormRefused, ConsentMissing) as error:
        return _photos_page(request, draft, error)
    here.drafts.forget(account.account_id)
    agent = Role.AGENT in account.roles and draft.consent.signatory == Signatory.AGENT
    here.accounts.give_mandate(
        account.account_id, identity.identity_id, "agent" if agent else "self"
    )
    some_left_out = identity.photo_count < len(photos)
    return go(
        f"/likeness/{identity.identity_id}",
        "submitted-without-some" if some_left_out else "submitted",
    )


def refusal_sentence(refusal: Refusal | None, language: str) -> str | None:
    """Why a photo is refused, without what only the command line can do."""
    if refusal is None:
        return None
    t = translations(language).gettext
    if refusal.why == Why.NOT_AN_IMAGE:
        return t("not a picture that can be read; save it again as JPEG or PNG")
    if refusal.why == Why.SEVERAL_FACES:
        return t(
            "several faces were found; crop the photo so that only one is in it, or take another"
        )
    return refusal.text(language)


def checked_document(sent: list[SentFile], missing: str) -> SentFile:
    """The one paper of a field, by its first bytes a PDF, JPEG or PNG; raises FormRefused."""
    if not sent:
        raise FormRefused(missing)
    if media_type_of(sent[0].data) is None:
        raise FormRefused("not-a-document", sent[0].name)
    return sent[0]


def media_type_of(data: bytes) -> str | None:
    """What a paper is by its first bytes; None for anything but PDF, JPEG and PNG."""
    return next((kind for start, kind in _DOCUMENT_STARTS.items() if data.startswith(start)), None)


def _draft(here: AppContext, form: Form) -> Draft:
    today = here.clock().date()
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
    born_on = day_in(form, "born_on") if form.text("born_on") else None
    if is_minor(born_on, today) and signatory != Signatory.GUARDIAN:
        raise ConsentMissing("under 18 a guardian consents")
    places = tuple(
        place.strip() for place in form.text("territories", 500).split(",") if place.strip()
    )
    consent = Consent(
        signer, today, last_day(form, today), None, CONSENT_TEXT_VERSION, terms, signatory=signatory,
        territories=places or ("worldwide",),
    )  # fmt: skip
    return Draft(name, consent, born_on, keep_photos=form.ticked("keep_photos"))


def last_day(form: Form, today: date) -> date:
    """The last day of a consent; raises FormRefused outside tomorrow and five years."""
    day = day_in(form, "expires_on")
    if not today < day <= today + timedelta(days=MOST_DAYS):
        raise FormRefused("no-date", "expires_on")
    return day


def _papers(form: Form, draft: Draft) -> tuple[list[Document], Draft]:
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
    here: AppContext,
    session: Session,
    form: Form,
    problem: Exception | None = None,
) -> Response:
    today = here.clock().date()
    agent = Role.AGENT in session.account.roles
    given = {
        name: form.text(name)
        for name in (
            "name",
            "signatory",
            "signed_by",
            "born_on",
            "terms",
            "territories",
            "expires_on",
        )
    }
    own_name = (
        ""
        if agent or here.accounts.identities_of(session.account.account_id)
        else session.account.name
    )
    given = {
        **given, "name": given["name"] or own_name, "terms": given["terms"] or str(Terms.PROHIBITED),
        "signatory": given["signatory"] or str(Signatory.AGENT if agent else Signatory.SELF),
        "expires_on": given["expires_on"] or (today + timedelta(days=DAYS)).isoformat(),
        "signed_by": given["signed_by"] or (session.account.name if agent else ""),
    }  # fmt: skip
    return page(
        request, "consent.html", 422 if problem else 200, problem=told(request, problem) if problem else None, given=given,
        agent=agent, texts=CONSENT_TEXT, first=today + timedelta(days=1), last=today + timedelta(days=MOST_DAYS), today=today,
        keep_photos=form.ticked("keep_photos") or not form.fields,
    )  # fmt: skip


def _photos_page(request: Request, draft: Draft, problem: Exception | None = None) -> Response:
    language = language_of(request)
    t = translations(language).gettext
    verdicts = _verdicts(problem.report, language) if isinstance(problem, EnrolmentRefused) else []
    if isinstance(problem, EnrolmentRefused):
        sentence = t(
            "Only %(count)s of these photos can be used; %(needed)s are needed. Choose them anew."
        )
        if problem.report.people:
            sentence = t(
                "These photos show %(people)s people who do not look alike. Choose photos of one person only."
            )
        facts = {
            "count": problem.report.accepted, "needed": problem.report.needed, "people": len(problem.report.people)
        }  # fmt: skip
        problem_told: str | None = sentence % facts
    else:
        problem_told = told(request, problem) if problem else None
    if problem_told:
        problem_told += " " + t("The files were not kept: choose photos and papers once more.")
    return page(
        request, "photos.html", 422 if problem else 200, draft=draft, problem=problem_told, verdicts=verdicts,
        needed=MIN_PHOTOS, most=MOST_PHOTOS, proofs=proof_words(t),
    )  # fmt: skip


def proof_words(t: Translate) -> dict[str, str]:
    """What papers are called."""
    return {
        "passport": t("passport"),
        "identity card": t("identity card"),
        "driving licence": t("driving licence"),
    }


def _verdicts(report: EnrolmentReport, language: str) -> list[tuple[str, str | None]]:
    return [(one.name, refusal_sentence(one.refusal, language)) for one in report.photos]
