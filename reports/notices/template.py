"""The kinds of notices, as the files in reports/notices/templates declare them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

from dateutil.relativedelta import relativedelta

from reports.cases.case import Case
from reports.cases.listings import listings_of
from reports.errors import UnknownNotice
from reports.notices.clocks import Clock

ByLanguage = Mapping[str, str]
# fmt: off
EU_MEMBERS = frozenset((
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES",
    "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
    "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
))
# fmt: on


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a notice needs.

    Attributes:
        label: what it is, by language.
        source: where a case holds it; None if a person must give it.
        must: the only answer with which the notice can be made.
        fixed: a fact of the case, which nobody can change.
        kind: "url", "email" or "date", None for any text.
    """

    name: str
    label: ByLanguage
    source: str | None
    must: str | None
    fixed: bool
    kind: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of notice.

    Attributes:
        statute: the law or rule.
        checked_on: the day on which the wording of the statute was last checked.
        wording: "read" if it was compared with the law's or the hub's own text, "secondary" if only
            with what others write about it; such a notice says so.
        countries: ISO codes of the countries whose law it is, "EU" for all members; empty for any.
        side: "right-holder" or "operator".
        about: "file" for model files, "captured" for captured accounts and pages, None for either.
        copies: "derived" where it asks for every file that was made from the weights too,
            "identical" where the law reaches the same weights only.
        hub: the only hub it is for, None for any.
        clock: the period that the law sets; None without one.
        after_appeal: it can be made while a reviewed case is appealed.
        refuses: the message where a `must` field has another answer.
    """

    name: str
    statute: str
    checked_on: date
    wording: str
    countries: tuple[str, ...]
    languages: tuple[str, ...]
    side: str
    title: ByLanguage
    required: tuple[Field, ...]
    body: ByLanguage
    clock: Clock | None
    after_appeal: bool
    refuses: str | None
    hub: str | None
    defaults: Mapping[str, ByLanguage]
    about: str | None
    copies: str

    def fits(self, case: Case) -> bool:
        """Whether this kind of notice is for what the case is about."""
        return self.about in (None, "file" if case.sighting is None else "captured")

    def applies(self, case: Case, country: str | None = None) -> bool:
        """Whether a claimant would take this notice for a case.

        Notices that only a hub owes, forms of hubs where the file is not listed, and laws of other
        countries do not apply.

        Args:
            country: ISO code of the country whose law is to be used; None for any.
        """
        listed = {listing.hub for listing in listings_of(case)}
        return (
            self.fits(case)
            and self.side == "right-holder"
            and (self.hub is None or self.hub in listed)
            and self.is_of(country)
        )

    def is_of(self, country: str | None) -> bool:
        """Whether it is of a country's law, or of no country's; any is if none is named."""
        if country is None or not self.countries:
            return True
        return country in self.countries or (country in EU_MEMBERS and "EU" in self.countries)

    def is_stale(self, today: date) -> bool:
        """Whether the wording was checked more than a year ago."""
        last: date = self.checked_on + relativedelta(years=1)
        return last < today


@cache
def template_names() -> tuple[str, ...]:
    """Names of the notices that can be made."""
    folder = resources.files("reports").joinpath("notices/templates")
    names = (path.name for path in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def template(name: str) -> Template:
    """The template of that name; raises UnknownNotice."""
    if name not in template_names():
        known = ", ".join(template_names())
        raise UnknownNotice(f"no notice is called {name!r}; there are {known}")
    folder = resources.files("reports").joinpath("notices")
    fields = tomllib.loads(folder.joinpath("fields.toml").read_text("utf-8"))
    declared = tomllib.loads(folder.joinpath(f"templates/{name}.toml").read_text("utf-8"))
    return Template(
        name=name,
        statute=declared["statute"],
        checked_on=declared["checked_on"],
        wording=declared["wording"],
        countries=tuple(declared.get("countries", ())),
        languages=tuple(declared["languages"]),
        side=declared["side"],
        title=declared["title"],
        required=tuple(_field(required, fields[required]) for required in declared["required"]),
        body=declared["body"],
        clock=Clock(**declared["clock"]) if "clock" in declared else None,
        after_appeal=declared.get("after_appeal", False),
        refuses=declared.get("refuses"),
        hub=declared.get("hub"),
        defaults=declared.get("defaults", {}),
        about=declared.get("about"),
        copies=declared.get("copies", "identical"),
    )


def _field(name: str, declared: dict[str, Any]) -> Field:
    return Field(
        name=name,
        label={language: declared[language] for language in ("en", "zh-CN")},
        source=declared.get("from"),
        must=declared.get("must"),
        fixed=declared.get("fixed", False),
        kind=declared.get("kind"),
    )
