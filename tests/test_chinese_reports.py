"""Documents in Chinese hold no English sentence of the program's."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.documents.case_report import case_html
from reports.documents.monthly import month_html
from reports.documents.scan_report import ScanSummary, render_report
from reports.documents.translation import translations
from reports.documents.vocabulary import NO_SUPPORT, VERBAL_SCALE, VOCABULARY
from reports.documents.words import statement_words
from reports.notices.drafting import draft_notice
from reports.notices.template import template, template_names
from tests.cases import AT, make_case, make_sighted_case, reviewed
from tests.test_notices import given_for

_WORD = r"[A-Za-z][A-Za-z'’-]*"
_ENGLISH = re.compile(rf"{_WORD}(?:[ ,;:]+{_WORD}){{2,}}")
# What a reader types to verify a bundle.
_COMMAND = re.compile(r"portrait-scanner (?:verify|reproduce) BUNDLE")
# Elements without an end tag.
_VOID = frozenset({"meta", "img", "br", "line", "circle", "polygon", "input", "link", "hr"})
_REASON = (
    "score 0.72 over the threshold 0.60, 0.67 above the base model alone; the adapter at scale 1.2"
)
_CREDENTIALS = (
    "present and valid: what was signed was not changed since; who signed it was checked against "
    "no trust list / 存在且有效：签名后内容未被更改；签名者身份未经信任列表核对 "
    "(assertion.dataHash.mismatch)"
)


class _VisibleText(HTMLParser):
    """Text that a reader sees, without code (hashes, addresses) and what is marked as English."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.texts += [given["alt"] or ""] if "alt" in given else []
        if tag not in _VOID:
            marked = given.get("lang") in ("en", "und")
            self._hidden.append(any(self._hidden) or marked or tag in ("style", "code"))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._hidden):
            self.texts.append(data)


def english_in(html: str) -> list[str]:
    parser = _VisibleText()
    parser.feed(html)
    return [run for text in parser.texts for run in _ENGLISH.findall(_COMMAND.sub("", text))]


def chinese_case(case: Case, **changes: Any) -> Case:
    """The case with names in Chinese, and the sentences that the program stores."""
    method = replace(
        case.method,
        base_model=case.method.base_model
        if case.sighting
        else "SD1: stable-diffusion-v1-5 (the family's default; the file declares none)",
        face_pack_licence="InsightFace model packs: non-commercial research only, unless a signed "
        "MODEL.LICENSE grants more",
        calibration="none: this face pack was never calibrated, nothing is called a match",
        settings={
            **case.method.settings,
            "image_check": "none: this base model is synthetic and can only draw cartoon portraits",
        },
    )
    assert case.environment is not None
    environment = replace(case.environment, machine="x86_64, 4 processors")
    named = replace(case, identity_name="艾丽卡", method=method, environment=environment)
    return replace(named, reason=_REASON, **changes)


def test_the_search_finds_sentences_and_leaves_marked_text_out() -> None:
    assert english_in("<p>得分 0.72, but samples disagree</p>") == ["but samples disagree"]
    assert english_in('<td lang="en">photo of a person</td><code>a b c</code><p>一 b c</p>') == []


@pytest.mark.parametrize("outcome", ["match", "possible"])
@pytest.mark.parametrize("redacted", [False, True])
def test_a_report_of_a_file(case_store: CaseStore, outcome: str, redacted: bool) -> None:
    case = chinese_case(make_case(case_store, outcome=outcome), outcome=outcome)
    case_store.add(
        case.case_id,
        "reopens",
        "李娜",
        AT,
        {"case": "x", "text": "it was possible, and is match by now"},
    )
    case_store.add(
        case.case_id, "note", "李娜", AT, {"text": f"4 images were captured by now: {_REASON}"}
    )
    decided = reviewed(case_store, case)
    shown = replace(case, entries=decided.entries[:-1], custody=decided.custody)
    html = case_html(shown, case_store, "zh-CN", redacted=redacted, fingerprint="fe" * 32)
    assert english_in(html) == []
    assert "得分 0.72，高于阈值 0.60，比仅用基础模型高 0.67；适配器权重为 1.2" in html
    assert "该系列的默认模型；该文件未声明基础模型" in html


@pytest.mark.parametrize("outcome", ["match", "possible"])
def test_a_report_of_captured_images(case_store: CaseStore, outcome: str) -> None:
    case = make_sighted_case(case_store)
    assert case.sighting is not None
    says = (
        ("generator", "AUTOMATIC1111"),
        ("label", "1: made by AI / 属于"),
        ("credentials", _CREDENTIALS),
        ("not read", "its EXIF is damaged (ValueError)"),
    )
    images = tuple(replace(image, says=says) for image in case.sighting.images)
    checks = ("7 records agree with their own digests", "it is not signed")
    captures = tuple(
        replace(capture, checks=checks, format="table of screenshots")
        for capture in case.sighting.captures
    )
    sighting = replace(case.sighting, images=images, captures=captures, account_name="假冒艾丽卡")
    reason = f"4 different images show one face: {_REASON.partition(';')[0]}"
    case = replace(chinese_case(case, outcome=outcome, sighting=sighting), reason=reason)
    html = case_html(case, case_store, "zh-CN")
    assert english_in(html) == []
    assert "4 幅不同图像显示同一张脸：得分 0.72" in html
    assert "7 条记录与其自身摘要一致；未签名" in html


def test_a_report_of_a_scan(case_store: CaseStore) -> None:
    case = chinese_case(make_case(case_store))
    signals = ("trained on 41 images in a folder named '40_erika', a person's class word",)
    case = replace(case, checkpoint=replace(case.checkpoint, signals=signals))
    names = ("sha256", "identity", "score", "threshold", "lift")
    blank = {**dict.fromkeys(names), "samples": 0}
    reasons = (
        _REASON,
        "only 2 of 24 samples show a usable face, 6 are needed",
        "a GGUF file, not safetensors: convert it to safetensors to have it scanned",
        (
            "this is a pickle; it was not opened, because loading one runs code from the file; "
            "it would call os.system: treat the file as malware"
        ),
    )
    rows = [
        {**blank, "file": "f.safetensors", "outcome": "failed", "reason": reason}
        for reason in reasons
    ]
    summary = ScanSummary("scan-1", "folder", AT.isoformat(), 10, "0.1", rows, 1, 3, 501, 51)
    html = render_report(summary, [case], case_store, "zh-CN")
    assert english_in(html) == []
    unknown = replace(summary, rows=[{**rows[0], "reason": "the moon is full"}])
    assert "原文：“the moon is full”" in render_report(unknown, [], case_store, "zh-CN")


def test_a_month() -> None:
    row = {"file": "a.bin", "outcome": "match", "score": 0.9, "url": "https://hub.example"}
    statuses = VOCABULARY["status"]
    month = {
        "month": "2026-11",
        "name": "艾丽卡",
        "opened": {"match": 2},
        "statuses": dict.fromkeys(statuses, 1),
        "notices": {"removed": 1},
        "open_notices": 1,
        "overdue": 0,
        "cases": [{**row, "status": status} for status in statuses],
    }
    assert english_in(month_html(month, "zh-CN")) == []


@pytest.mark.parametrize(
    "name", [name for name in template_names() if "zh-CN" in template(name).languages]
)
def test_a_notice(case_store: CaseStore, name: str) -> None:
    kind = template(name)
    made = make_sighted_case(case_store) if kind.about == "captured" else make_case(case_store)
    case = reviewed(case_store, made)
    case = replace(case, identity_name="艾丽卡")
    given = {field: "某某" if " " in text else text for field, text in given_for(name).items()}
    text = draft_notice(name, case, given, AT, "zh-CN").text
    assert _ENGLISH.findall(re.sub(r"https?://\S+", "", text)) == []


def test_every_word_of_the_vocabulary_is_translated() -> None:
    chinese = translations("zh-CN").gettext
    words = {word for group in VOCABULARY.values() for word in group.values()}
    words |= {NO_SUPPORT, *(words for _, *both in VERBAL_SCALE for words in both)}
    assert {word for word in words if chinese(word) == word} == set()


def test_statements_in_both_languages_are_shown_in_one() -> None:
    assert statement_words("credentials", _CREDENTIALS, "zh-CN") == (
        "存在且有效：签名后内容未被更改；签名者身份未经信任列表核对 (assertion.dataHash.mismatch)"
    )
    assert statement_words("credentials", _CREDENTIALS, "en").startswith(
        "present and valid: what was signed"
    )
    assert "存在" not in statement_words("credentials", _CREDENTIALS, "en")
    assert statement_words("label", "1: made by AI / 属于, 某公司", "zh-CN") == "属于, 某公司"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("credentials: signer", "ACME Corp / 北京某公司, 2026-01-02T00:00:00+00:00"),
        ("adapter", "mymodel v2 / 真人写真"),
        ("camera", "Canon / 佳能, EOS R5 / 某型号"),
        ("label", "ACME Corp / 某公司"),
        ("generator", "AUTOMATIC1111"),
        ("base model", "it ends too early"),
    ],
)
def test_text_that_others_wrote_is_shown_whole(subject: str, text: str) -> None:
    assert [statement_words(subject, text, language) for language in ("en", "zh-CN")] == [text] * 2
