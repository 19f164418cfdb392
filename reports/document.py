"""The report as one self-contained HTML file, in English or Simplified Chinese, from one template."""

from __future__ import annotations

import base64
import gettext
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.case import Case
from reports.docket import Docket
from reports.plots import score_plot

LANGUAGES = ("en", "zh-CN")


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a report says of the scan as a whole.

    Attributes:
        rows: one mapping a checkpoint and identity, the rows of the result table.
        made_at: UTC, ISO 8601.
    """

    scan_id: str
    target: str
    made_at: str
    gallery_size: int
    version: str
    rows: Sequence[Mapping[str, Any]]


def _translations(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    source = resources.files("reports").joinpath(f"locales/{language.replace('-', '_')}/LC_MESSAGES/reports.po")
    with source.open("rb") as stream:
        catalogue = read_po(stream)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
    )
    environment.install_gettext_translations(_translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    return environment


def render_report(summary: ScanSummary, cases: Sequence[Case], docket: Docket, language: str = "en") -> str:
    """The report as HTML text.

    Args:
        cases: of this scan, matches first.
        docket: where the images are.
        language: one of LANGUAGES.

    Raises:
        EvidenceAltered: an image is not what the case names.
    """
    environment = _environment(language)
    translate = _translations(language).gettext

    def picture(sha256: str) -> Markup:
        return Markup("data:image/png;base64," + base64.b64encode(docket.image(sha256)).decode())  # noqa: S704  base64 only

    def plot(case: Case) -> Markup:
        words = {
            "title": translate("Similarity of each image's face to the registered template"),
            "samples": translate("with adapter"),
            "controls": translate("without"),
            "mean": translate("mean face"),
            "threshold": translate("threshold"),
        }
        return score_plot(case, words)

    template = environment.get_template("report.html")
    return template.render(summary=summary, cases=cases, language=language, picture=picture, plot=plot)
