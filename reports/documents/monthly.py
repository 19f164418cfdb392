"""A rights holder's month as one HTML page, in English or Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup

from reports.documents.translation import environment, translations
from reports.documents.words import words_of


def month_html(month: Mapping[str, Any], language: str = "en") -> str:
    """The page.

    Args:
        month: `name` and `month`, the counts `opened`, `statuses`, `notices`, `open_notices` and
            `overdue`, and rows of `cases`.
        language: one of reports.documents.translation.LANGUAGES.
    """
    words = words_of(translations(language).gettext)
    style = resources.files("reports").joinpath("templates/case.css").read_text("utf-8")
    return (
        environment(language)
        .get_template("month.html")
        .render(
            month=month,
            language=language,
            words=words,
            style=Markup(style),  # noqa: S704  our own file
        )
    )
