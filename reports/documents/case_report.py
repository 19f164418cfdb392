"""The report of one case: a self-contained HTML file, and the same as PDF/A for print and filing.

The first two pages are for a reader in a hurry, the full record follows. Everything in it comes from the case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any

from markupsafe import Markup
from PIL import ImageFile

from reports.cases.case import Case, SampleRecord
from reports.cases.case_store import CaseStore
from reports.cases.listings import listings_of
from reports.cases.review import CaseStatus
from reports.documents.pictures import picture_uri
from reports.documents.plots import score_plot
from reports.documents.translation import environment, translations
from reports.documents.words import (
    Translate,
    entry_text,
    entry_word,
    plot_words,
    ratio_words,
    tie_kind,
    training_facts,
    verbal_scale,
    words_of,
)
from reports.errors import FontMissing, PangoMissing, PdfUnavailable

# Full images lie in the bundle; these are for looking at. 240 pixels are 240 dpi at the size they are printed.
_PICTURE_PIXELS = 240
PDF_VARIANT = "pdf/a-3a"  # archival, tagged; accessibility level A


def as_of(case: Case) -> str:
    """When the case last changed, UTC: the newest line of its log, or its opening."""
    return case.entries[-1].at[:19] + "+00:00" if case.entries else case.opened_at[:19] + "+00:00"


def redacted_case(case: Case) -> Case:
    """The case without what a hub need not know: internal ids, reviewers' names, machine, custody, notices."""
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
        docket: where the images are.
        language: one of reports.documents.translation.LANGUAGES.
        redacted: for the hub: pictures blurred beyond recognition, no names of reviewers, no machine.
        fingerprint: of the key that signs the bundle, lower-case hex.

    Raises:
        EvidenceAltered: an image is not what the case names.
    """
    shown = redacted_case(case) if redacted else case
    translate = translations(language).gettext
    words = words_of(translate)
    prompts = {sample.negative_prompt for sample in shown.samples}
    return (
        environment(language)
        .get_template("case.html" if shown.sighting is None else "sighting.html")
        .render(
            case=shown,
            language=language,
            redacted=redacted,
            as_of=as_of(case),
            style=Markup(  # noqa: S704  our own file
                resources.files("reports").joinpath("templates/case.css").read_text("utf-8")
            ),
            picture=_pictures(case_store, blurred=redacted),
            plot=score_plot(shown, plot_words(translate, captured=shown.sighting is not None)),
            shown=_worth_showing(shown),
            headline=headline(shown, translate),
            last=None if redacted else _last_word(shown),
            counts=_counts(shown),
            corrections=[entry for entry in shown.entries if entry.kind == "correction"],
            custody_word=lambda event: words["custody"].get(event, event),
            status_word=words["status"][shown.status],
            outcome_word=words["outcome"][shown.outcome],
            terms_word=words["terms"].get(shown.terms, shown.terms),
            says_word=lambda about: words["says"].get(about, about),
            tie_word=lambda said: words["tie"][tie_kind(said)],
            has_credentials=_has_credentials(shown),
            event_word=lambda what: words["event"].get(what, what),
            entry_word=lambda entry: entry_word(entry, words),
            entry_text=entry_text,
            listings=listings_of(case)[1:],
            lr_times=ratio_words(shown.log10_lr),
            lr_words=verbal_scale(shown.log10_lr, translate),
            training=training_facts(shown.checkpoint.training, words),
            negative_prompt=prompts.pop() if len(prompts) == 1 else None,
            told=translate,
            settings=_listed(shown.method.settings),
            versions=_listed(shown.method.versions),
            fingerprint=fingerprint,
        )
    )


def _has_credentials(case: Case) -> bool:
    images = case.sighting.images if case.sighting else ()
    return any(about == "credentials" for image in images for about, _ in image.says)


def case_pdf(html: str, case: Case, language: str) -> bytes:
    """The same report as PDF/A-3a with its fonts inside; the same HTML gives the same bytes.

    Raises:
        PdfUnavailable: Pango, or a font that has the signs of that language, is not here.
    """
    return html_to_pdf(html, language, f"{case.case_id} {as_of(case)}")


def html_to_pdf(html: str, language: str, identifier: str) -> bytes:
    """PDF/A-3a from self-contained HTML; nothing is fetched.

    Raises:
        PdfUnavailable: Pango, or a font that has the signs of that language, is not here.
    """
    _require_pango()
    _require_font(language)
    from weasyprint import HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    # A report refers to nothing outside itself: files and addresses are not even tried.
    document = HTML(
        string=html, url_fetcher=URLFetcher(allowed_protocols={"data"}, fail_on_errors=True)
    )
    return bytes(
        document.write_pdf(
            pdf_variant=PDF_VARIANT,
            pdf_identifier=hashlib.sha256(identifier.encode()).digest()[:16],
            font_config=FontConfiguration(),
            custom_metadata=False,
        )
    )


def pdf_problem(language: str) -> str | None:
    """Why no PDF in that language can be made on this machine, as a sentence; None if one can."""
    try:
        _require_pango()
        _require_font(language)
    except PdfUnavailable as error:
        return str(error)
    return None


def _require_pango() -> None:
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    try:
        # It prints a banner where it finds no Pango, into the JSON of whoever asked for that.
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            import weasyprint  # noqa: F401  it loads Pango when it is imported
    except OSError as error:
        raise PangoMissing(str(error).partition(":")[0].strip()) from error
    # WeasyPrint lets Pillow take cut-off images for whole ones, in the whole program; photos and evidence must not be.
    ImageFile.LOAD_TRUNCATED_IMAGES = False


def _require_font(language: str) -> None:
    if not _has_font({"zh-CN": "zh-cn"}.get(language, "en")):
        raise FontMissing(language)


def _has_font(code: str) -> bool:
    import shutil
    import subprocess

    if tool := shutil.which("fc-list"):
        told = subprocess.run(  # noqa: S603
            [tool, f":lang={code}", "family"], capture_output=True, text=True, check=False
        )
        return bool(told.stdout.strip())
    return _fontconfig_has(code)


def _fontconfig_has(code: str) -> bool:
    """Ask fontconfig's library, which WeasyPrint loads, where its tools are not installed (fontconfig.org, FcFontList)."""
    import ctypes

    class FontSet(ctypes.Structure):
        _fields_ = (("count", ctypes.c_int), ("size", ctypes.c_int), ("fonts", ctypes.c_void_p))

    library = ctypes.CDLL("libfontconfig.so.1")
    for name in ("FcNameParse", "FcObjectSetCreate", "FcFontList"):
        getattr(library, name).restype = ctypes.c_void_p
    library.FcFontList.argtypes = (ctypes.c_void_p,) * 3
    library.FcFontSetDestroy.argtypes = (ctypes.c_void_p,)
    found = library.FcFontList(
        None, library.FcNameParse(f":lang={code}".encode()), library.FcObjectSetCreate()
    )
    if not found:
        return False
    count = FontSet.from_address(found).count
    library.FcFontSetDestroy(found)
    return bool(count)


def headline(case: Case, translate: Translate) -> str:
    """What the report says first: a finding only where a reviewer has confirmed it."""
    if case.sighting is not None:
        return _sighted_headline(case, translate)
    told = {
        CaseStatus.CONFIRMED: translate("A model file reproduces the face of %(name)s")
        if case.outcome == "match"
        else translate("A model file may reproduce the face of %(name)s"),
        CaseStatus.REJECTED: translate(
            "No infringement found: a model file examined for the face of %(name)s"
        ),
        CaseStatus.AUTHORISED: translate(
            "Authorised use: a model file examined for the face of %(name)s"
        ),
    }
    undecided = translate("Not decided: does a model file reproduce the face of %(name)s?")
    return told.get(CaseStatus(case.status), undecided) % {"name": case.identity_name}


def _sighted_headline(case: Case, translate: Translate) -> str:
    account = case.sighting is not None and case.sighting.account_name is not None
    sure = {
        True: translate("An account publishes images with the face of %(name)s"),
        False: translate("A captured page shows the face of %(name)s"),
    }
    unsure = {
        True: translate("An account may publish images with the face of %(name)s"),
        False: translate("A captured page may show the face of %(name)s"),
    }
    told = {
        CaseStatus.CONFIRMED: (sure if case.outcome == "match" else unsure)[account],
        CaseStatus.REJECTED: translate(
            "No infringement found: captured images examined for the face of %(name)s"
        ),
        CaseStatus.AUTHORISED: translate(
            "Authorised use: captured images examined for the face of %(name)s"
        ),
    }
    undecided = translate("Not decided: do captured images show the face of %(name)s?")
    return told.get(CaseStatus(case.status), undecided) % {"name": case.identity_name}


def _last_word(case: Case) -> str | None:
    """Who decided or appealed last, when, and why."""
    for entry in reversed(case.entries):
        if entry.kind in ("review", "appeal"):
            return f"{entry.actor}, {entry.at[:16]}: {entry.details.get('reason', entry.details.get('text', ''))}"
    return None


def _counts(case: Case) -> dict[str, int]:
    evidence = [sample for sample in case.samples if sample.stage == "evidence"]
    if case.sighting is not None:
        images = case.sighting.images
        return {
            "counted": sum(one.in_mean for one in images),
            "copies": sum(one.copies for one in images),
        }
    return {
        "counted": sum(sample.in_mean for sample in evidence),
        "faces": sum(sample.face_found for sample in evidence),
        "controls": sum(sample.control_sha256 is not None for sample in evidence),
    }


def _worth_showing(case: Case) -> list[SampleRecord]:
    """Samples with a kept picture in the order they were made, those at full quality first: nothing is chosen."""
    kept = [sample for sample in case.samples if sample.image_sha256]
    return sorted(kept, key=lambda sample: sample.stage != "evidence")


def _listed(fields: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in fields.items() if value is not None)


def _pictures(case_store: CaseStore, *, blurred: bool) -> Callable[[str], Markup]:
    return lambda sha256: picture_uri(case_store, sha256, _PICTURE_PIXELS, blurred=blurred)
