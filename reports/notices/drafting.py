"""A notice from a template and a case.

A required field without a value stops the document, and the error names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from jinja2 import Environment, StrictUndefined

from reports.cases.case import Case, Entry
from reports.cases.listings import listings_of
from reports.cases.review import require_confirmed, require_reviewed
from reports.errors import NoticeIncomplete, NoticeRefused, UnknownNotice
from reports.notices.facts import (
    addressed_listings,
    captured_facts,
    covered_copies,
    listing_facts,
)
from reports.notices.passages import (
    evidence_passage,
    licence_passage,
    places_passage,
    reasons_passage,
)
from reports.notices.template import Field, Template, template

_HUBS = frozenset({"civitai", "huggingface", "modelscope", "liblibai", "github"})
_SECONDARY = {
    "en": (
        "[Draft: the wording follows secondary sources. Compare it with the text of the law or of "
        "the platform, and remove this line.]"
    ),
    "zh-CN": "〔草稿：文字依据二手资料。请与法律或平台规则原文核对后删除本行。〕",
}
# What a field of each kind must look like, and how a message calls that.
_FORMS = {
    "url": (
        r"https?://\S+(\s*,?\s+https?://\S+)*",
        "an address that begins with https:// or http://",
    ),
    "email": (r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address"),
    "date": (r"\d{4}-\d{2}-\d{2}", "a date like 2026-11-25"),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A complete notice. `text` is in the small markup of reports.notices.rendering."""

    template: Template
    case_id: str
    language: str
    fields: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class _Request:
    """What a notice is made from.

    Attributes:
        given: fields that somebody gave, by name.
        review: the decision that it rests on.
    """

    kind: Template
    case: Case
    language: str
    given: Mapping[str, str]
    review: Entry
    now: datetime


def draft_notice(
    name: str,
    case: Case,
    given: Mapping[str, str],
    now: datetime,
    language: str | None = None,
    fingerprint: str | None = None,
) -> Draft:
    """A notice about a confirmed case.

    Args:
        given: fields by name; they override what the case holds, and an empty one is missing.
        language: one of the template's languages; the first one by default.
        fingerprint: SHA-256 of the key that signs this installation's evidence.

    Raises:
        UnknownNotice: no such template, no such field, or not in that language.
        NotReviewed: nobody has confirmed the case.
        NoticeRefused: the notice is not for such a case, or a field has a value it may not have.
        NoticeIncomplete: required fields have no value; the error names them.
    """
    kind = template(name)
    language = language or kind.languages[0]
    _must_know(kind, language, given)
    _must_fit(kind, case)
    review = require_reviewed(case) if kind.after_appeal else require_confirmed(case)
    request = _Request(kind, case, language, given, review, now)
    _must_be_on_hub(request)
    values = _values(request, now, fingerprint)
    missing = [
        (field.name, field.label[language], field.label["en"])
        for field in kind.required
        if not values[field.name]
    ]
    if missing:
        raise NoticeIncomplete(name, missing)
    for field in kind.required:
        _check(request, field, values[field.name])
    places = places_passage(addressed_listings(kind, case), covered_copies(kind, case), language)
    text = _text(kind, language, {**values, "places": places})
    return Draft(kind, case.case_id, language, values, text)


def addresses_in(text: str) -> list[str]:
    """The addresses in a notice's field, which are separated by commas or blanks."""
    return text.replace(",", " ").split()


def _text(kind: Template, language: str, values: Mapping[str, str]) -> str:
    engine = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  plain text; the HTML made from it later is escaped
    engine.filters["each"] = _each
    text = engine.from_string(kind.body[language]).render(values).strip() + "\n"
    if kind.wording == "read":
        return text
    heading, _, rest = text.partition("\n")
    return f"{heading}\n\n{_SECONDARY[language]}\n{rest}"


def _each(addresses: str) -> str:
    """Several addresses as a numbered list; a single one as it is."""
    found = addresses_in(addresses)
    if len(found) < 2:
        return addresses
    return "".join(f"\n- [{number}] {address}" for number, address in enumerate(found, 1))


def _must_know(kind: Template, language: str, given: Mapping[str, str]) -> None:
    """Raise UnknownNotice for a language or a field that the template does not have."""
    if language not in kind.languages:
        raise UnknownNotice(f"{kind.name} exists in {', '.join(kind.languages)}, not in {language}")
    names = [field.name for field in kind.required]
    if unknown := sorted(set(given) - set(names)):
        raise UnknownNotice(f"{kind.name} has no field {unknown[0]!r}; it has {', '.join(names)}")


def _must_fit(kind: Template, case: Case) -> None:
    if not kind.fits(case):
        other = "prc-1195-posts or eu-dsa-16-posts" if case.sighting else "prc-1195 or eu-dsa-16"
        raise NoticeRefused(f"{kind.name} is not for what this case is about; take {other}")


def _must_be_on_hub(request: _Request) -> None:
    kind, given = request.kind, request.given
    listed_on = addressed_listings(kind, request.case)[0].hub
    if kind.hub and listed_on in _HUBS - {kind.hub} and not given.get("urls"):
        raise NoticeRefused(
            f"{kind.name} is for {kind.hub}, and the file of this case was listed on {listed_on}; "
            f"if it is on {kind.hub} as well, say where with --set urls="
        )


def _check(request: _Request, field: Field, value: str) -> None:
    """Raise NoticeRefused if a field has a value that it may not have."""
    kind, case = request.kind, request.case
    if field.must and value.lower() != field.must:
        label = field.label[request.language]
        hint = f"{field.name} must be {field.must!r}, or the notice cannot be made ({label})"
        raise NoticeRefused(kind.refuses if kind.refuses and field.name == "intimate" else hint)
    if field.fixed and request.given.get(field.name, "").strip():
        raise NoticeRefused(
            f"{field.name} is a fact of the case and cannot be said otherwise; leave it out"
        )
    if field.kind and field.source is None and not re.fullmatch(_FORMS[field.kind][0], value):
        raise NoticeRefused(f"{field.name}: {value!r} is not {_FORMS[field.kind][1]}")
    if field.kind == "date" and field.source is None:
        _check_date(request, field, value)
    names_file = field.name == "depiction_urls" and case.sighting is None
    if names_file and kind.refuses and _names_listing(value, case):
        raise NoticeRefused(kind.refuses)


def _check_date(request: _Request, field: Field, value: str) -> None:
    """Raise NoticeRefused for a day that does not exist, and for one from which no period runs."""
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise NoticeRefused(f"{field.name}: there is no day {value}") from error
    clock = request.kind.clock
    if clock is None or clock.starts != field.name:
        return
    if day > request.now.date():
        raise NoticeRefused(f"{field.name}: {value} lies in the future")
    last = clock.end_after(value)
    if last < request.now:
        raise NoticeRefused(
            f"{field.name}: {request.kind.name} had to be sent by {last:%Y-%m-%d}, {clock.length} "
            f"{clock.unit} after {value}"
        )


def _names_listing(urls: str, case: Case) -> bool:
    return any(listing.listing_url in urls for listing in listings_of(case))


def _values(request: _Request, now: datetime, fingerprint: str | None) -> dict[str, str]:
    kind, case, language = request.kind, request.case, request.language
    held = {
        "identity_name": case.identity_name,
        **listing_facts(addressed_listings(kind, case)),
        "triggers": ", ".join(case.checkpoint.triggers),
        **captured_facts(case),
        "reviewer": request.review.actor,
        "reasons": reasons_passage(case, language),
        "evidence": evidence_passage(case, language, fingerprint),
        "authorisation": licence_passage(case, language),
        "today": now.date().isoformat(),
    }
    values: dict[str, str] = {}
    for field in kind.required:
        own = kind.defaults.get(field.name, {}).get(language)
        default = own or (held.get(field.source) if field.source else None) or ""
        # Some values were written by strangers. On one line, none of them can look like a part of
        # the document's own structure.
        values[field.name] = " ".join(str(request.given.get(field.name, default)).split())
    return values
