"""What pages show of a case: texts, the plot, and pictures, blurred until they are opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from markupsafe import Markup

from face_index.consent import Terms
from face_index.errors import UnknownIdentity
from reports.cases.case import Case
from reports.cases.checkpoint_record import SampleRecord
from reports.cases.copies import copies_of
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
    second_opinion_words,
    training_facts,
    verbal_scale,
    words_of,
)
from reports.notices.template import template, template_names
from scanner.web.errors import NotThere
from scanner.web.rendering import render_page
from scanner.web.service_pool import PageCaseService
from scanner.web.translation import translations

_THUMBNAIL, _WHOLE = 144, 768
_CONFIRMATION = "evidence"  # the stage of sampling as it is stored


@dataclass(frozen=True, slots=True)
class Pair:
    """A sample beside its control, both blurred and grey."""

    sample: SampleRecord
    picture: Markup
    control: Markup | None


def thumbnails(service: PageCaseService, case: Case, most: int = 64) -> list[Pair]:
    """The samples that have a picture, confirmation samples first; logged as one entry."""
    kept = [sample for sample in case.samples if sample.image_sha256]
    kept.sort(key=lambda sample: sample.stage != _CONFIRMATION)
    pairs = [
        Pair(
            sample,
            _blurred(service, str(sample.image_sha256)),
            _blurred(service, sample.control_sha256) if sample.control_sha256 else None,
        )
        for sample in kept[:most]
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
    """Faces of the captured images that count; logged as one entry."""
    images = case.sighting.images if case.sighting else ()
    with_face = [image for image in images if image.face_sha256][:most]
    faces = [CapturedFace(image, _blurred(service, str(image.face_sha256))) for image in with_face]
    if faces:
        service.note_shown(
            case, blurred=True, sha256=[str(image.face_sha256) for image in with_face]
        )
    return faces


def _blurred(service: PageCaseService, sha256: str) -> Markup:
    return picture_uri(service.case_store, sha256, _THUMBNAIL, blurred=True, grey=True)


def _captured(service: PageCaseService, sha256: str) -> Markup:
    """A captured image, in any of the formats in which faces are searched."""
    from face_index.faces.capture_faces import pixels_of

    return pixels_uri(pixels_of(service.case_store.kept(sha256, "captured")), _WHOLE)


def picture_response(
    request: Request, service: PageCaseService, case: Case, sha256: str, back: str
) -> Response:
    """One picture unblurred, as JSON for the page's script or as a page; logged first."""
    images = case.sighting.images if case.sighting else ()
    is_captured = sha256 in {image.sha256 for image in images}
    kept = {image.face_sha256 for image in images}
    for sample in case.samples:
        kept |= {sample.image_sha256, sample.control_sha256}
    if not is_captured and sha256 not in kept:
        raise NotThere("no such picture")
    service.note_shown(case, blurred=False, sha256=[sha256])
    if is_captured:
        picture = _captured(service, sha256)
    else:
        picture = picture_uri(service.case_store, sha256, _WHOLE)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"picture": str(picture)})
    return render_page(request, "picture.html", picture=picture, back=back, case=case)


def allowed_now(service: PageCaseService, case: Case) -> str | None:
    """The terms or licence that allow the use today; None if there are none."""
    try:
        identity = service.vault.people.find(case.identity_id)
    except UnknownIdentity:
        return None
    if identity.consent.terms == Terms.PERMITTED:
        return str(identity.consent.terms)
    checkpoint, day = case.checkpoint, service.clock().date()
    # Only the sender of an upload says whose it is.
    creator = None if checkpoint.hub == service.hub_name else checkpoint.creator
    licence = service.vault.licences.covering(
        case.identity_id, checkpoint.hub, creator, checkpoint.sha256, day
    )
    return f"{licence.value} – {licence.until}" if licence else None


def page_words(language: str) -> dict[str, dict[str, str]]:
    """The labels of outcomes, statuses, decisions and notices, short enough for tables."""
    t: Translate = translations(language).gettext
    return {
        **words_of(report_translations(language).gettext),
        "status": {
            "draft": t("waits for review"),
            "second-review": t("waits for a second reviewer"),
            "confirmed": t("confirmed"),
            "rejected": t("rejected"),
            "more-samples": t("more samples wanted"),
            "authorised": t("authorised use"),
            "appealed": t("appealed"),
            "superseded": t("replaced by a later case"),
        },
        "decision": {
            "confirm": t("Confirm: this file reproduces the face"),
            "reject": t("Reject: it does not"),
            "more-samples": t("More samples are needed to say"),
            "authorised": t("Authorised: the person allows it"),
        },
        "outcome": {
            "match": t("match"),
            "possible": t("possible"),
            "clear": t("clear"),
            "inconclusive": t("inconclusive"),
            "failed": t("failed"),
        },
    }


def notice_titles(language: str) -> dict[str, str]:
    """The titles of all kinds of notice, by their names."""
    titles = {name: template(name).title for name in template_names()}
    return {
        name: title.get(language) or next(iter(title.values())) for name, title in titles.items()
    }


def case_facts(case: Case, language: str) -> dict[str, Any]:
    """The values with which templates describe a case."""
    translate: Translate = report_translations(language).gettext
    words = page_words(language)
    if case.sighting is not None:
        t = translations(language).gettext
        words["decision"] = {
            "confirm": t("Confirm: these images show the person"),
            "reject": t("Reject: they do not"),
            "more-samples": t("More captures are needed to say"),
            "authorised": t("Authorised: the person allows it"),
        }
    confirmation = [sample for sample in case.samples if sample.stage == _CONFIRMATION]
    return {
        "words": words,
        "headline": headline(case, translate),
        "status_word": words["status"][case.status],
        "outcome_word": words["outcome"][case.outcome],
        "terms_word": words["terms"].get(case.terms, case.terms),
        "event_word": lambda event: words["event"].get(event, event),
        "custody_word": lambda event: words["custody"].get(event, event),
        "entry_word": lambda entry: entry_word(entry, words),
        "entry_text": lambda entry: entry_text(entry, translate),
        "relation_word": lambda relation: words["relation"].get(relation, relation),
        "kind_word": lambda kind: words["kind"].get(kind, kind),
        "listings": listings_of(case)[1:],
        "copies": copies_of(case),
        "lr_times": ratio_words(case.log10_lr),
        "lr_words": verbal_scale(case.log10_lr, translate),
        "second_opinion": second_opinion_words(case.second_opinion, translate),
        "plot": score_plot(case, plot_words(translate, captured=case.sighting is not None)),
        "training": training_facts(case.checkpoint.training, words),
        "counted": sum(sample.in_mean for sample in confirmation),
        "faces": sum(sample.face_found for sample in confirmation),
    }
