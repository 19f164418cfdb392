"""A notice from a template and a case. A required field without a value stops the document and is named."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from reports.cases.case import Case, Entry
from reports.cases.listings import ListingRecord, listings_of, on_hub
from reports.cases.review import require_confirmed, require_reviewed
from reports.cases.sighting_record import SightingRecord
from reports.documents.translation import translations
from reports.documents.words import ratio_words, verbal_scale
from reports.errors import NoticeIncomplete, NoticeRefused, UnknownNotice

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a notice needs.

    Attributes:
        label: what it is, by language.
        source: where a case holds it; None if somebody must say it.
        must: the only answer that lets the notice be made.
        fixed: it is a fact of the case, which nobody can say otherwise.
        kind: "url", "email" or "date", None for any text.
    """

    name: str
    label: Words
    source: str | None
    must: str | None
    fixed: bool
    kind: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of notice, as its file declares it.

    Attributes:
        statute: the law or rule, with `checked_on` the day its wording was last looked at.
        side: "right-holder" or "operator".
        about: "file" for model files, "captured" for accounts and pages that were captured, None for either.
        hub: the only hub it is for, None for any.
        deadline_hours: the clock that starts when it is sent, None without one.
        after_appeal: it can be made while a reviewed case is appealed.
        refuses: what is said where a `must` field is answered otherwise.
    """

    name: str
    statute: str
    checked_on: date
    languages: tuple[str, ...]
    side: str
    title: Words
    required: tuple[Field, ...]
    body: Words
    deadline_hours: int | None
    after_appeal: bool
    refuses: str | None
    hub: str | None
    defaults: Mapping[str, Words]
    about: str | None

    def fits(self, case: Case) -> bool:
        """Whether it is for what the case is about."""
        return self.about in (None, "file" if case.sighting is None else "captured")


@dataclass(frozen=True, slots=True)
class Draft:
    """A complete notice. `text` is in the small markup of reports.notices.rendering."""

    template: Template
    case_id: str
    language: str
    fields: Mapping[str, str]
    text: str


@cache
def template_names() -> tuple[str, ...]:
    """The notices that can be made."""
    folder = resources.files("reports").joinpath("notices/templates")
    return tuple(
        sorted(
            path.name.removesuffix(".toml")
            for path in folder.iterdir()
            if path.name.endswith(".toml")
        )
    )


@cache
def template(name: str) -> Template:
    """The template of that name; raises UnknownNotice."""
    if name not in template_names():
        raise UnknownNotice(
            f"no notice is called {name!r}; there are {', '.join(template_names())}"
        )
    folder = resources.files("reports").joinpath("notices")
    known: dict[str, dict[str, Any]] = tomllib.loads(
        folder.joinpath("fields.toml").read_text("utf-8")
    )
    told = tomllib.loads(folder.joinpath(f"templates/{name}.toml").read_text("utf-8"))
    required = tuple(
        Field(
            one,
            {code: known[one][code] for code in ("en", "zh-CN")},
            known[one].get("from"),
            known[one].get("must"),
            known[one].get("fixed", False),
            known[one].get("kind"),
        )
        for one in told["required"]
    )
    return Template(
        name,
        told["statute"],
        told["checked_on"],
        tuple(told["languages"]),
        told["side"],
        told["title"],
        required,
        told["body"],
        told.get("deadline_hours"),
        told.get("after_appeal", False),
        told.get("refuses"),
        told.get("hub"),
        told.get("defaults", {}),
        told.get("about"),
    )


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
        given: fields by name; they go before what the case holds, and an empty one counts as missing.
        language: one of the template's; its first without.
        fingerprint: of the key that signs this installation's evidence.

    Raises:
        UnknownNotice: no such template, no such field, or not in that language.
        NotReviewed: nobody has confirmed the case.
        NoticeRefused: the notice is not for such a case, or a field says what it may not.
        NoticeIncomplete: required fields have no value; the error names them.
    """
    kind = template(name)
    language = language or kind.languages[0]
    if language not in kind.languages:
        raise UnknownNotice(f"{name} exists in {', '.join(kind.languages)}, not in {language}")
    names = [field.name for field in kind.required]
    if unknown := sorted(set(given) - set(names)):
        raise UnknownNotice(f"{name} has no field {unknown[0]!r}; it has {', '.join(names)}")
    if not kind.fits(case):
        other = "prc-1195-posts or eu-dsa-16-posts" if case.sighting else "prc-1195 or eu-dsa-16"
        raise NoticeRefused(f"{name} is not for what this case is about; take {other}")
    review = require_reviewed(case) if kind.after_appeal else require_confirmed(case)
    addressed = _addressed(kind, case)
    if kind.hub and addressed[0].hub in _HUBS - {kind.hub} and not given.get("urls"):
        listed = f"the file of this case was listed on {addressed[0].hub}"
        raise NoticeRefused(
            f"{name} is for {kind.hub}, and {listed}; if it is on {kind.hub} as well, say where with --set urls="
        )
    values = _values(kind, case, review, given, now, language, fingerprint)
    missing = [
        (field.name, field.label[language], field.label["en"])
        for field in kind.required
        if not values[field.name]
    ]
    if missing:
        raise NoticeIncomplete(name, missing)
    for field in kind.required:
        _check(kind, field, values[field.name], given, case, language)
    engine = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  plain text; HTML is made later, escaped
    engine.filters["each"] = _each
    body = engine.from_string(kind.body[language]).render(values).strip()
    return Draft(kind, case.case_id, language, values, f"{body}\n")


def addresses_in(text: str) -> list[str]:
    """The addresses that a notice's field holds, which people part with commas or blanks."""
    return text.replace(",", " ").split()


def _each(addresses: str) -> str:
    """Several addresses as items of their own; one stays where it is."""
    found = addresses_in(addresses)
    return (
        addresses
        if len(found) < 2
        else "".join(f"\n- [{number}] {one}" for number, one in enumerate(found, 1))
    )


_HUBS = frozenset({"civitai", "huggingface", "modelscope", "liblibai", "github"})
_FORMS = {
    "url": (
        r"https?://\S+(\s*,?\s+https?://\S+)*",
        "an address that begins with https:// or http://",
    ),
    "email": (r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address"),
    "date": (r"\d{4}-\d{2}-\d{2}", "a date like 2026-11-25"),
}


def _check(
    kind: Template, field: Field, value: str, given: Mapping[str, str], case: Case, language: str
) -> None:
    """Raise NoticeRefused if a field says what it may not."""
    if field.must and value.lower() != field.must:
        hint = f"{field.name} must be {field.must!r}, or the notice cannot be made ({field.label[language]})"
        raise NoticeRefused(kind.refuses if kind.refuses and field.name == "intimate" else hint)
    if field.fixed and given.get(field.name, "").strip():
        raise NoticeRefused(
            f"{field.name} is a fact of the case and cannot be said otherwise; leave it out"
        )
    if field.kind and field.source is None and not re.fullmatch(_FORMS[field.kind][0], value):
        raise NoticeRefused(f"{field.name}: {value!r} is not {_FORMS[field.kind][1]}")
    if (
        field.name == "depiction_urls"
        and case.sighting is None
        and any(one.listing_url in value for one in listings_of(case))
        and kind.refuses
    ):
        raise NoticeRefused(kind.refuses)


def _values(
    kind: Template,
    case: Case,
    review: Entry,
    given: Mapping[str, str],
    now: datetime,
    language: str,
    fingerprint: str | None,
) -> dict[str, str]:
    held = {
        **{name: getattr(case, name) for name in ("identity_name", "authorisation")},
        **_listed(_addressed(kind, case)),
        "triggers": ", ".join(case.checkpoint.triggers),
        **captured_facts(case),
        "reviewer": review.actor,
        "reasons": _reasons(case, language),
        "evidence": _evidence(case, language, fingerprint),
        "authorisation": _licences(case, language),
        "today": now.date().isoformat(),
    }
    values: dict[str, str] = {}
    for field in kind.required:
        default = (
            kind.defaults.get(field.name, {}).get(language)
            or (held.get(field.source) if field.source else None)
            or ""
        )
        # Strangers wrote some of these: one line each, so that none can look like a part of the document's own structure.
        values[field.name] = " ".join(str(given.get(field.name, default)).split())
    return values


def _addressed(kind: Template, case: Case) -> tuple[ListingRecord, ...]:
    """The listings that a notice is about: all on its hub, or on that of the case's first listing."""
    listings = listings_of(case)
    return on_hub(listings, kind.hub or listings[0].hub) or listings[:1]


def _listed(listings: Sequence[ListingRecord]) -> dict[str, str]:
    """What notices say of listings of the same weights: each address and each hash once, the rest of the first."""
    first = listings[0]
    return {
        "checkpoint.listing_url": " ".join(dict.fromkeys(one.listing_url for one in listings)),
        "checkpoint.sha256": ", ".join(dict.fromkeys(one.sha256 for one in listings)),
        "checkpoint.file": ", ".join(dict.fromkeys(one.file for one in listings)),
        "checkpoint.creator": ", ".join(
            dict.fromkeys(one.creator for one in listings if one.creator)
        ),
        "checkpoint.hub": first.hub,
        "checkpoint.title": first.title,
    }


def captured_facts(case: Case) -> dict[str, str]:
    """What notices say of a captured account: the addresses of its pages that show the person, its name, its captures."""
    sighting = case.sighting
    if sighting is None:
        return {}
    counted = {number for image in sighting.images if image.in_mean for number in image.pages}
    urls = [
        page.url
        for number, page in enumerate(sighting.pages)
        if page.url and (number in counted or not counted)
    ]
    name, number = sighting.account_name or case.checkpoint.file, sighting.account_id
    return {
        "checkpoint.listing_url": " ".join(
            dict.fromkeys([*filter(None, [sighting.account_url]), *urls])
        ),
        "account": f"{name} ({number})" if number else name,
        "captures": ", ".join(one.sha256 for one in sighting.captures),
    }


def _reasons(case: Case, language: str) -> str:
    if case.sighting is not None:
        return _sighted_reasons(case, case.sighting, language)
    words = verbal_scale(case.log10_lr, translations(language).gettext)
    times = ratio_words(case.log10_lr)
    evidence = [sample for sample in case.samples if sample.stage == "evidence"]
    faces, counted = (
        sum(sample.face_found for sample in evidence),
        sum(sample.in_mean for sample in evidence),
    )
    control = "–" if case.control_score is None else f"{case.control_score:.2f}"
    if language == "zh-CN":
        ratio = f"，似然比约为 {times}，即{words}" if words else ""
        return (
            f"经检验，加载该文件后生成的 {faces} 幅有人脸的取证图像中，{counted} 幅为同一张脸，其均值与权利人（本系统登记名：{case.identity_name}）登记模板的相似度为 "
            f"{case.score:.2f}（阈值 {case.threshold:.2f}{ratio}）；提示词与种子相同而不加载该文件时为 {control}。"
            "经具名审核人确认，该文件复现了权利人肖像；权利人未予同意。"
        )
    ratio = f", likelihood ratio about {times}: {words}" if words else ""
    return (
        f"In {counted} of {faces} full-quality images with a face that were made with the file, one and the same face comes up; their mean scores "
        f"{case.score:.2f} against the template of the right holder, registered as {case.identity_name} (threshold {case.threshold:.2f}{ratio}). The same prompts and "
        f"seeds without the file score {control}. A named reviewer has confirmed that the file reproduces the right holder's likeness; the right holder did not consent."
    )


def _sighted_reasons(case: Case, sighting: SightingRecord, language: str) -> str:
    counted, copies = (
        sum(one.in_mean for one in sighting.images),
        sum(one.copies for one in sighting.images if one.in_mean),
    )
    told = sum(bool(one.says) for one in sighting.images)
    if language == "zh-CN":
        made = f"其中 {told} 幅的文件元数据自述其来源。" if told else ""
        return (
            f"经检验，所固定页面中 {counted} 幅不同图像（含重复共 {copies} 幅）为同一张脸，其均值与权利人（本系统登记名：{case.identity_name}）登记模板的相似度为 "
            f"{case.score:.2f}（阈值 {case.threshold:.2f}）。{made}经具名审核人确认，该账号或页面使用了权利人肖像；权利人未予同意。"
        )
    made = f" The files of {told} of them say themselves where they come from." if told else ""
    return (
        f"{counted} different captured images ({copies} with their copies) show one and the same face; their mean scores {case.score:.2f} against the "
        f"template of the right holder, registered as {case.identity_name} (threshold {case.threshold:.2f}).{made} A named reviewer has confirmed that this account or page "
        "uses the right holder's likeness; the right holder did not consent."
    )


def _evidence(case: Case, language: str, fingerprint: str | None) -> str:
    if case.sighting is not None:
        signed = (
            (
                f"，以 SHA-256 为 {fingerprint} 的 Ed25519 公钥签名"
                if language == "zh-CN"
                else f", signed with the Ed25519 key whose SHA-256 is {fingerprint}"
            )
            if fingerprint
            else ""
        )
        captures, images = len(case.sighting.captures), len(case.sighting.images)
        if language == "zh-CN":
            return f"案件 {case.case_id} 的检验报告及证据包：{captures} 份封存的页面固定原件、{images} 幅图像、逐文件哈希{signed}，可离线核验。"
        return f"Report and evidence bundle of case {case.case_id}: {captures} sealed captures, {images} images, a hash of every file{signed}, verifiable offline."
    shown = sum(sample.face_found for sample in case.samples)
    if language == "zh-CN":
        signed = f"，以 SHA-256 为 {fingerprint} 的 Ed25519 公钥签名" if fingerprint else ""
        return f"案件 {case.case_id} 的检验报告及证据包：{len(case.samples)} 幅样本（{shown} 幅有人脸）及对照、逐文件哈希{signed}，可离线核验。"
    signed = f", signed with the Ed25519 key whose SHA-256 is {fingerprint}" if fingerprint else ""
    return (
        f"Report and evidence bundle of case {case.case_id}: {len(case.samples)} samples ({shown} with a face), controls, a hash of every file{signed}, "
        "verifiable offline."
    )


def _licences(case: Case, language: str) -> str:
    day = case.opened_at[:10]
    if language == "zh-CN":
        about = "该文件、其上传者或该平台" if case.sighting is None else "该账号或该网站"
        return f"截至 {day}，本系统的授权登记中未见权利人对{about}的授权。"
    about = (
        "this file, its uploader or the hub" if case.sighting is None else "this account or site"
    )
    return f"As of {day} our register holds no licence of the right holder for {about}."
