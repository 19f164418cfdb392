"""The web app's words in English and Simplified Chinese."""

from __future__ import annotations

import gettext
from functools import cache

from reports.documents.translation import LANGUAGES, catalogue_of

__all__ = ["LANGUAGES", "translations"]


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of a language, one of LANGUAGES; English is what the code says."""
    return catalogue_of("scanner.web", "web", language)
