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
    """The catalogue of a language, one of LANGUAGES; the messages themselves are English."""
    return catalogue_of("reports", "reports", language)


def catalogue_of(package: str, domain: str, language: str) -> gettext.NullTranslations:
    """The catalogue that a package ships for a language, compiled now."""
    if language == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    source = resources.files(package).joinpath(
        f"locales/{language.replace('-', '_')}/LC_MESSAGES/{domain}.po"
    )
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
        auto_reload=False,  # a running program does not use templates of a newer version
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["number"] = _number
    made.filters["moment"] = lambda at: f"{at[:19].replace('T', ' ')} UTC"
    made.filters["whole"] = lambda value: "–" if value is None else f"{value:,}"
    return made


def _number(value: float | None, digits: int = 2) -> str:
    """A figure for readers: a dash for None, no minus before zero, "<" for what is too small."""
    if value is None:
        return "–"
    if 0 < value < 10**-digits / 2:
        return f"< {10**-digits:.{digits}f}" if digits > 2 else f"{0:.{digits}f}"
    return f"{round(value, digits) + 0.0:.{digits}f}"
