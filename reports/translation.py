"""Templates in English and Simplified Chinese: gettext catalogues, compiled when first needed."""

from __future__ import annotations

import gettext
from functools import cache
from importlib import resources
from io import BytesIO

from jinja2 import Environment, PackageLoader, StrictUndefined

LANGUAGES = ("en", "zh-CN")


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of a language, one of LANGUAGES; English is what the code says."""
    if language == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    source = resources.files("reports").joinpath(f"locales/{language.replace('-', '_')}/LC_MESSAGES/reports.po")
    with source.open("rb") as stream:
        catalogue = read_po(stream)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def environment(language: str) -> Environment:
    """Jinja2 with that language's words; an unknown name in a template is an error."""
    made = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    return made
