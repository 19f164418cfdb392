"""The report of one case: self-contained HTML, and the same as PDF/A for print and filing.

The first two pages are for a reader in a hurry; the full record follows. Everything in the report
comes from the case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any

from markupsafe import Markup

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.checkpoint_record import SampleRecord
from reports.cases.copies import copies_of
from reports.cases.listings import listings_of
from reports.documents.headlines import headline
from reports.documents.pdf import html_to_pdf
from reports.documents.pictures import picture_uri
from reports.documents.plots import reliability_plot, score_plot
from reports.documents.translation import environment, translations
from reports.documents.words import (
    Translate,
    entry_text,
    entry_word,
    false_match_words,
    known_words,
    plot_words,
    ratio_words,
    reliability_words,
    second_opinion_words,
    statement_words,
    tie_kind,
    training_facts,
    verbal_scale,
    words_of,
)
from reports.reasons.reason import SENTENCES, reasons_in_words

# The bundle holds the images at full size. 240 pixels are 240 dpi at the size they are printed.
_PICTURE_PIXELS = 240


def as_of(case: Case) -> str:
    """When the case last changed, UTC: the newest entry of its log, or its opening."""
    return case.entries[-1].at[:19] + "+00:00" if case.entries else case.opened_at[:19] + "+00:00"


def redacted_case(case: Case) -> Case:
    """The case without what a hub need not know.

    Internal ids, reviewers' names and reasons, the machine, custody and notices are left out.
    """
    kept = ("review", "appeal", "correction")
    entries = tuple(
        replace(
            entry,
            actor="–",
            details={**entry.details, "reason": "", "operator": "", "login": []}
            if entry.kind == "review"
            else entry.details,
        )
        for entry in case.entries
        if entry.kind in kept
    )
    return replace(case, identity_id="", environment=None, custody=(), entries=entries)


def case_html(
    case: Case,
    case_store: CaseStore,
    language: str = "en",
    *,
    redacted: bool = False,
    fingerprint: str | None = None,
) -> str:
    """The report as HTML text.

    Args:
        case_store: where the images are.
        language: one of reports.documents.translation.LANGUAGES.
        redacted: for the hub: pictures blurred beyond recognition, no names of reviewers, no
            machine.
        fingerprint: SHA-256 of the key that signs the bundle, lower-case hex.

    Raises:
        EvidenceAltered: an image is not what the case names.
    """
    shown = redacted_case(case) if redacted else case
    template = "case.html" if shown.sighting is None else "sighting.html"
    style = resources.files("reports").joinpath("templates/case.css").read_text("utf-8")
    return (
        environment(language)
        .get_template(template)
        .render(
            case=shown,
            language=language,
            redacted=redacted,
            as_of=as_of(case),
            style=Markup(style),  # noqa: S704  our own file
            picture=_pictures(case_store, blurred=redacted),
            fingerprint=fingerprint,
            listings=listings_of(case)[1:],
            copies=copies_of(case),
            last=None if redacted else _last_decision(shown, language),
            **_facts(shown),
            **_wording(shown, language),
        )
    )


def case_pdf(html: str, case: Case, language: str) -> bytes:
    """The same report as PDF/A-3a with its fonts inside; the same HTML gives the same bytes.

    Raises:
        PdfUnavailable: Pango or a font with the signs of that language is not installed.
    """
    return html_to_pdf(html, language, f"{case.case_id} {as_of(case)}")


def samples_shown(case: Case) -> list[SampleRecord]:
    """Every sample with a kept picture in the order they were made, full-quality ones first."""
    kept = [sample for sample in case.samples if sample.image_sha256]
    return sorted(kept, key=lambda sample: sample.stage != "evidence")


def _facts(case: Case) -> dict[str, Any]:
    """What a template shows and the case does not hold as a field."""
    prompts = {sample.negative_prompt for sample in case.samples}
    images = case.sighting.images if case.sighting else ()
    return {
        "shown": samples_shown(case),
        "counts": _counts(case),
        "is_calibrated": case.method.calibration != SENTENCES["no-calibration"],
        "corrections": [entry for entry in case.entries if entry.kind == "correction"],
        "has_credentials": any(about == "credentials" for one in images for about, _ in one.says),
        "companions": sorted(
            {sha256 for sample in case.samples if sample.in_mean for sha256 in sample.companions}
        ),
        "negative_prompt": prompts.pop() if len(prompts) == 1 else None,
        "lr_times": ratio_words(case.log10_lr),
        "versions": _listed(case.method.versions),
    }


def _wording(case: Case, language: str) -> dict[str, Any]:
    """Words for the case's codes and sentences, and functions that templates call for others."""
    translate = translations(language).gettext
    words = words_of(translate)

    def sentence(text: str) -> str:
        return known_words(text, translate)

    return {
        "headline": headline(case, translate),
        "plot": score_plot(case, plot_words(translate, captured=case.sighting is not None)),
        "reliability": reliability_plot(case, reliability_words(translate)),
        "second_opinion": second_opinion_words(case.second_opinion, translate),
        "status_word": words["status"][case.status],
        "outcome_word": words["outcome"][case.outcome],
        "terms_word": words["terms"].get(case.terms, case.terms),
        "lr_words": verbal_scale(case.log10_lr, translate),
        "false_match": false_match_words(case, translate),
        "reason": reasons_in_words(case.reason, translate),
        "training": training_facts(case.checkpoint.training, words),
        "settings": _settings(case, translate),
        "sentence": sentence,
        "statement": lambda text, subject: statement_words(subject, text, language),
        "checks": lambda capture: translate("; ").join(map(sentence, capture.checks)),
        "format_word": lambda name: words["format"].get(name, name),
        "relation_word": lambda relation: words["relation"].get(relation, relation),
        "kind_word": lambda kind: words["kind"].get(kind, kind),
        "custody_word": lambda event: words["custody"].get(event, event),
        "says_word": lambda about: words["says"].get(about, about),
        "tie_word": lambda said: words["tie"][tie_kind(said)],
        "event_word": lambda what: words["event"].get(what, what),
        "entry_word": lambda entry: entry_word(entry, words),
        "entry_text": lambda entry: entry_text(entry, translate),
    }


def _settings(case: Case, translate: Translate) -> str:
    """The settings by their names, which are needed unchanged to reproduce the samples."""
    return _listed(
        {
            name: known_words(value, translate) if isinstance(value, str) else value
            for name, value in case.method.settings.items()
        }
    )


def _last_decision(case: Case, language: str) -> str | None:
    """Who decided or appealed last, when, and why."""
    for entry in reversed(case.entries):
        if entry.kind in ("review", "appeal"):
            why = entry.details.get("reason", entry.details.get("text", ""))
            at, translate = entry.at[:16].replace("T", " "), translations(language).gettext
            return f"{entry.actor}, {at}{translate(': ')}{why}"
    return None


def _counts(case: Case) -> dict[str, int]:
    if case.sighting is not None:
        images = case.sighting.images
        return {
            "counted": sum(image.in_mean for image in images),
            "copies": sum(image.copies for image in images),
        }
    evidence = [sample for sample in case.samples if sample.stage == "evidence"]
    return {
        "counted": sum(sample.in_mean for sample in evidence),
        "faces": sum(sample.face_found for sample in evidence),
        "controls": sum(sample.control_sha256 is not None for sample in evidence),
        "without_picture": sum(sample.image_sha256 is None for sample in case.samples),
    }


def _listed(fields: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in fields.items() if value is not None)


def _pictures(case_store: CaseStore, *, blurred: bool) -> Callable[[str], Markup]:
    return lambda sha256: picture_uri(case_store, sha256, _PICTURE_PIXELS, blurred=blurred)
