"""A notice from a template and a case. A required field without a value stops the document and is named."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined

from reports.case import Case, Entry
from reports.errors import NoticeIncomplete, NoticeRefused, UnknownNotice
from reports.review import require_confirmed, require_reviewed
from reports.translation import translations
from reports.words import ratio_words, verbal_scale

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a notice needs.

    Attributes:
        label: what it is, by language.
        source: where a case holds it; None if somebody must say it.
        must: the only answer that lets the notice be made.
    """

    name: str
    label: Words
    source: str | None
    must: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of notice, as its file declares it.

    Attributes:
        statute: the law or rule, with `checked_on` the day its wording was last looked at.
        side: "right-holder" or "operator".
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
    defaults: Words


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
    return tuple(sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")))


@cache
def template(name: str) -> Template:
    """The template of that name; raises UnknownNotice."""
    if name not in template_names():
        raise UnknownNotice(f"no notice is called {name!r}; there are {', '.join(template_names())}")
    folder = resources.files("reports").joinpath("notices")
    known: dict[str, dict[str, str]] = tomllib.loads(folder.joinpath("fields.toml").read_text("utf-8"))
    told = tomllib.loads(folder.joinpath(f"templates/{name}.toml").read_text("utf-8"))
    required = tuple(
        Field(one, {code: known[one][code] for code in ("en", "zh-CN")}, known[one].get("from"), known[one].get("must"))
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
        told.get("defaults", {}),
    )


def draft_notice(name: str, case: Case, given: Mapping[str, str], now: datetime, language: str | None = None) -> Draft:
    """A notice about a confirmed case.

    Args:
        given: fields by name; they go before what the case holds, and an empty one counts as missing.
        language: one of the template's; its first without.

    Raises:
        UnknownNotice: no such template, no such field, or not in that language.
        NotReviewed: nobody has confirmed the case.
        NoticeRefused: the notice is not for such a case.
        NoticeIncomplete: required fields have no value; the error names them.
    """
    kind = template(name)
    language = language or kind.languages[0]
    if language not in kind.languages:
        raise UnknownNotice(f"{name} exists in {', '.join(kind.languages)}, not in {language}")
    names = [field.name for field in kind.required]
    if unknown := sorted(set(given) - set(names)):
        raise UnknownNotice(f"{name} has no field {unknown[0]!r}; it has {', '.join(names)}")
    review = require_reviewed(case) if kind.after_appeal else require_confirmed(case)
    values = _values(kind, case, review, given, now, language)
    for field in kind.required:
        if field.must and values[field.name] and values[field.name].lower() != field.must:
            raise NoticeRefused(
                kind.refuses if kind.refuses and field.name == "intimate" else f"{field.name}: {field.label[language]}"
            )
    missing = [(field.name, field.label[language]) for field in kind.required if not values[field.name]]
    if missing:
        raise NoticeIncomplete(name, missing)
    engine = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  plain text; HTML is made later, escaped
    body = engine.from_string(kind.body[language]).render(values).strip()
    foot = {
        "en": f"Prepared from a template ({kind.statute}, checked on {kind.checked_on}). Not legal advice.",
        "zh-CN": f"本文件依模板制作（{kind.statute}，核对日期 {kind.checked_on}），不构成法律意见。",
    }[language]
    return Draft(kind, case.case_id, language, values, f"{body}\n\n~ {foot}\n")


def _values(
    kind: Template, case: Case, review: Entry, given: Mapping[str, str], now: datetime, language: str
) -> dict[str, str]:
    held = {
        **{name: getattr(case, name) for name in ("identity_name", "authorisation")},
        **{
            f"checkpoint.{name}": getattr(case.checkpoint, name)
            for name in ("listing_url", "file", "sha256", "hub", "creator", "title")
        },
        "triggers": ", ".join(case.checkpoint.triggers),
        "reviewer": review.actor,
        "reasons": _reasons(case, language),
        "evidence": _evidence(case, language),
        "authorisation": _licences(case, language),
        "today": now.date().isoformat(),
    }
    values: dict[str, str] = {}
    for field in kind.required:
        default = kind.defaults.get(field.name) or (held.get(field.source) if field.source else None) or ""
        # Strangers wrote some of these: one line each, so that none can look like a part of the document's own structure.
        values[field.name] = " ".join(str(given.get(field.name, default)).split())
    return values


def _reasons(case: Case, language: str) -> str:
    words = verbal_scale(case.log10_lr, translations(language).gettext)
    times = ratio_words(case.log10_lr)
    if language == "zh-CN":
        ratio = f"，似然比约为 {times}（{words}）" if words else ""
        return (
            f"经检验，加载该文件后，基础模型反复生成同一张脸，与 {case.identity_name} 登记模板的相似度为 {case.score:.2f}"
            f"（阈值 {case.threshold:.2f}{ratio}）；不加载该文件、提示词与种子相同时不生成这张脸。经具名审核人确认，该文件复现了本人肖像，且未见本人同意。"
        )
    ratio = f", likelihood ratio about {times}: {words}" if words else ""
    return (
        f"With this file the base model draws one face again and again, which scores {case.score:.2f} against the registered template of "
        f"{case.identity_name} (threshold {case.threshold:.2f}{ratio}); with the same prompts and seeds and without the file it does not. "
        "A named reviewer has confirmed that the file reproduces this person's likeness; no consent to it is known."
    )


def _evidence(case: Case, language: str) -> str:
    shown = sum(sample.face_found for sample in case.samples)
    if language == "zh-CN":
        return f"检验报告及证据包（案件 {case.case_id}）：{len(case.samples)} 幅样本（{shown} 幅有可用人脸）及对照、哈希、签名与时间戳，可离线核验。"
    return (
        f"Report and evidence bundle of case {case.case_id}: {len(case.samples)} samples ({shown} with a usable face) and their controls, "
        "hashes, signature and timestamps, verifiable offline."
    )


def _licences(case: Case, language: str) -> str:
    day = case.opened_at[:10]
    if language == "zh-CN":
        return f"截至 {day}，本人未授权该文件、其上传者或该平台。"
    return f"As of {day} the person has licensed neither this file nor its uploader nor the hub."
