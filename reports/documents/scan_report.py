"""The report of a whole scan as one self-contained HTML file; reports.documents.case_report makes that of a single case."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.documents.plots import score_plot
from reports.documents.translation import environment, translations
from reports.documents.words import plot_words


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


def render_report(
    summary: ScanSummary, cases: Sequence[Case], case_store: CaseStore, language: str = "en"
) -> str:
    """The report as HTML text.

    Args:
        cases: of this scan, matches first.
        docket: where the images are.
        language: one of LANGUAGES.

    Raises:
        EvidenceAltered: an image is not what the case names.
    """
    translate = translations(language).gettext

    def picture(sha256: str) -> Markup:
        return Markup("data:image/png;base64," + base64.b64encode(case_store.kept(sha256)).decode())  # noqa: S704  base64 only

    def plot(case: Case) -> Markup:
        return score_plot(case, plot_words(translate, captured=case.sighting is not None))

    template = environment(language).get_template("report.html")
    return template.render(
        summary=summary, cases=cases, language=language, picture=picture, plot=plot
    )
