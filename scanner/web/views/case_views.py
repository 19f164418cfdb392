"""What pages show of a case: words, plot, and pictures that are grey and blurred until somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from markupsafe import Markup

from face_index.consent import Terms
from face_index.errors import UnknownIdentity
from face_index.vault.licences import covering_licence
from reports.cases.case import Case
from reports.cases.checkpoint_record import SampleRecord
from reports.cases.listings import listings_of
from reports.cases.sighting_record import SightedImage
from reports.documents.headlines import headline
from reports.documents.pictures import picture_uri, pixels_uri
from reports.documents.plots import score_plot
from reports.documents.translation import translations as report_translations
from reports.documents.words import (
    Translate,
    entry_text,
    entry_word,
    plot_words,
    ratio_words,
    training_facts,
    verbal_scale,
    words_of,
)
from scanner.web.errors import NotThere
from scanner.web.rendering import page
from scanner.web.service_pool import PageCaseService
from scanner.web.translation import translations

_THUMBNAIL, _WHOLE = 144, 768


@dataclass(frozen=True, slots=True)
class Pair:
    """A sample beside its control, both blurred and grey."""

    sample: SampleRecord
    picture: Markup
    control: Markup | None


def thumbnails(service: PageCaseService, case: Case, most: int = 64) -> list[Pair]:
    """Samples with a kept picture, those at full quality first; one line in the log for the page."""
    kept = sorted(
        (one for one in case.samples if one.image_sha256), key=lambda one: one.stage != "evidence"
    )[:most]
    pairs = [
        Pair(
            one,
            _blurred(service, str(one.image_sha256)),
            _blurred(service, one.control_sha256) if one.control_sha256 else None,
        )
        for one in kept
    ]
    if pairs:
        service.note_shown(
            case, blurred=True, sha256=[str(pair.sample.image_sha256) for pair in pairs]
        )
    return pairs


@dataclass(frozen=True, slots=True)
class CapturedFace:
    """A face cut out of a captured image, blurred and grey."""

    image: SightedImage
    picture: Markup


def captured_faces(service: PageCaseService, case: Case, most: int = 64) -> list[CapturedFace]:
    """Faces of the captured images that count; one line in the log for the page."""
    images = case.sighting.images if case.sighting else ()
    faces = [
        CapturedFace(one, _blurred(service, one.face_sha256)) for one in images if one.face_sha256
    ][:most]
    if faces:
        service.note_shown(case, blurred=True, sha256=[str(one.image.face_sha256) for one in faces])
    return faces


def _blurred(service: PageCaseService, sha256: str) -> Markup:
    return picture_uri(service.case_store, sha256, _THUMBNAIL, blurred=True, grey=True)


def _captured(service: PageCaseService, sha256: str) -> Markup:
    """An image as somebody captured it, in any of the formats in which faces are looked for."""
    from face_index.faces.capture_faces import pixels_of

    return pixels_uri(pixels_of(service.case_store.kept(sha256, "captured")), _WHOLE)


def picture_response(
    request: Request, service: PageCaseService, case: Case, sha256: str, back: str
) -> Response:
    """One picture as it is, as JSON for the page's script or as a page of its own; logged first."""
    named = {
        one
        for sample in case.samples
        for one in (sample.image_sha256, sample.control_sha256)
        if one
    }
    images = case.sighting.images if case.sighting else ()
    named |= {one.face_sha256 for one in images if one.face_sha256}
    captured = sha256 in {one.sha256 for one in images}
    if sha256 not in named and not captured:
        raise NotThere("no such picture")
    service.note_shown(case, blurred=False, sha256=[sha256])
    picture = (
        _captured(service, sha256) if captured else picture_uri(service.case_store, sha256, _WHOLE)
    )
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"picture": str(picture)})
    return page(request, "picture.html", picture=picture, back=back, case=case)


def allowed_now(service: PageCaseService, case: Case) -> str | None:
    """What allows the use today, though it did not when the case was opened; None if nothing does or the person is gone."""
    try:
        identity = service.vault.find(case.identity_id)
    except UnknownIdentity:
        return None
    if identity.consent.terms == Terms.PERMITTED:
        return str(identity.consent.terms)
    checkpoint, day = case.checkpoint, service.clock().date()
    # Of what was sent to the gate only the sender says whose it is.
    creator = None if checkpoint.hub == service.settings.web.hub_name else checkpoint.creator
    licence = covering_licence(
        service.vault, case.identity_id, checkpoint.hub, creator, checkpoint.sha256, day
    )
    return f"{licence.value} – {licence.until}" if licence else None


def page_words(language: str) -> dict[str, dict[str, str]]:
    """Words for outcomes, standings, decisions and notices, short enough for tables and forms."""
    t: Translate = translations(language).gettext
    return {
        **words_of(report_translations(language).gettext),
        "status": {
            "draft": t("waits for review"), "second-review": t("waits for a second reviewer"), "confirmed": t("confirmed"),
            "rejected": t("rejected"), "more-samples": t("more samples wanted"), "authorised": t("authorised use"),
            "appealed": t("appealed"), "superseded": t("a later case took its place"),
        },
        "decision": {
            "confirm": t("Confirm: this file reproduces the face"), "reject": t("Reject: it does not"),
            "more-samples": t("More samples are needed to say"), "authorised": t("Authorised: the person allows it"),
        },
        "outcome": {
            "match": t("match"), "possible": t("possible"), "clear": t("clear"), "inconclusive": t("inconclusive"),
            "failed": t("failed"),
        },
    }  # fmt: skip


def case_facts(case: Case, language: str) -> dict[str, Any]:
    """What templates need to put a case into words."""
    translate: Translate = report_translations(language).gettext
    words = page_words(language)
    if case.sighting is not None:
        t = translations(language).gettext
        words["decision"] = {
            "confirm": t("Confirm: these images show the person"), "reject": t("Reject: they do not"),
            "more-samples": t("More captures are needed to say"), "authorised": t("Authorised: the person allows it"),
        }  # fmt: skip
    return {
        "words": words,
        "headline": headline(case, translate),
        "status_word": words["status"][case.status],
        "outcome_word": words["outcome"][case.outcome],
        "terms_word": words["terms"].get(case.terms, case.terms),
        "event_word": lambda what: words["event"].get(what, what),
        "custody_word": lambda event: words["custody"].get(event, event),
        "entry_word": lambda entry: entry_word(entry, words),
        "entry_text": entry_text,
        "listings": listings_of(case)[1:],
        "lr_times": ratio_words(case.log10_lr),
        "lr_words": verbal_scale(case.log10_lr, translate),
        "plot": score_plot(case, plot_words(translate, captured=case.sighting is not None)),
        "training": training_facts(case.checkpoint.training, words),
        "counted": sum(one.in_mean for one in case.samples if one.stage == "evidence"),
        "faces": sum(one.face_found for one in case.samples if one.stage == "evidence"),
    }
