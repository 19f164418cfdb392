"""The report of a whole scan as one self-contained HTML file.

reports.documents.case_report makes the report of a single case.
"""

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
from reports.documents.words import false_match_words, known_words, plot_words, words_of
from reports.reasons.reason import reasons_in_words

# A browser has to show the table, and each case has sixteen pictures.
MOST_ROWS = 500
MOST_CASES = 50


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """The scan as a whole.

    Attributes:
        made_at: UTC, ISO 8601.
        rows: the rows of the result table, one per checkpoint and identity; the most serious ones
            if there are too many.
        examined: number of different checkpoints that were examined.
        failed: number of files that could not be.
        all_rows: number of rows, with those that are not shown.
        all_cases: number of cases, with those that are not shown.
    """

    scan_id: str
    target: str
    made_at: str
    gallery_size: int
    version: str
    rows: Sequence[Mapping[str, Any]]
    examined: int
    failed: int
    all_rows: int
    all_cases: int


def render_report(
    summary: ScanSummary, cases: Sequence[Case], case_store: CaseStore, language: str = "en"
) -> str:
    """The report as HTML text.

    Args:
        cases: of this scan, matches first; those that are shown.
        case_store: where the images are.
        language: one of LANGUAGES.

    Raises:
        EvidenceAltered: an image is not what the case names.
    """
    translate = translations(language).gettext
    kinds = words_of(translate)["kind"]

    def picture(sha256: str) -> Markup:
        encoded = base64.b64encode(case_store.kept(sha256)).decode()
        return Markup("data:image/png;base64," + encoded)  # noqa: S704  base64 only

    def plot(case: Case) -> Markup:
        return score_plot(case, plot_words(translate, captured=case.sighting is not None))

    template = environment(language).get_template("report.html")
    return template.render(
        summary=summary,
        cases=cases,
        language=language,
        picture=picture,
        plot=plot,
        reason=lambda text: reasons_in_words(text, translate),
        sentence=lambda text: known_words(text, translate),
        kind_word=lambda kind: kinds.get(kind, kind),
        false_match=lambda case: false_match_words(case, translate),
    )
