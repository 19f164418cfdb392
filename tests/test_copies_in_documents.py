"""Reports and notices name the copies of a case's file, each with its own address and hash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.copies import CopyRecord, copies_of
from reports.cases.listings import own_listing
from reports.documents.case_report import case_html
from reports.documents.translation import LANGUAGES
from reports.notices.drafting import draft_notice
from scanner.casework.service import CaseService
from scanner.web.auth.access import Role
from tests.cases import make_case, reviewed
from tests.conftest import NOON
from tests.test_chinese_pages import filed, person, service, site
from tests.test_chinese_reports import english_in
from tests.test_notices import given_for
from tests.test_page_safety import Site

__all__ = ["person", "service", "site"]

KINDS = ("recast", "resized", "contains", "another epoch of the same training")


@pytest.fixture
def case(case_store: CaseStore) -> Case:
    """A confirmed case with four copies on its hub and one on another."""
    case = make_case(case_store)
    case_store.open(case)
    case = reviewed(case_store, case)
    for number, relation in enumerate(KINDS):
        attach(case_store, case, str(number), relation, own_listing(case).hub)
    attach(case_store, case, "9", "renamed", "huggingface")
    return case_store.case(case.case_id)


def attach(case_store: CaseStore, case: Case, digit: str, relation: str, hub: str) -> bool:
    place = replace(
        own_listing(case),
        hub=hub,
        listing_id=digit,
        listing_url=f"https://{hub}.example/{digit}",
        creator="mirror",
        file=f"copy_{digit}.safetensors",
        sha256=digit * 64,
    )
    record = CopyRecord(place, relation, 0.92, 0.85, 0.005)
    return case_store.attach_copy(case.case_id, record, "olga", NOON)


def test_a_place_is_attached_once(case_store: CaseStore, case: Case) -> None:
    assert [one.relation for one in copies_of(case)] == [*KINDS, "renamed"]
    assert not attach(case_store, case, "0", "recast", own_listing(case).hub)
    assert len(copies_of(case_store.case(case.case_id))) == 5


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("redacted", [False, True])
def test_a_report_lists_them(
    case_store: CaseStore, case: Case, language: str, redacted: bool
) -> None:
    text = case_html(case, case_store, language, redacted=redacted)
    for digit in "01239":
        assert digit * 64 in text
        assert f".example/{digit}" in text
    words = {"en": "a file that contains these weights", "zh-CN": "包含这些权重的文件"}
    assert words[language] in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_names_those_on_its_hub(case: Case, language: str) -> None:
    notice = draft_notice("prc-1195", case, given_for("prc-1195"), NOON, language)
    for digit in "0123":
        [line] = [line for line in notice.text.splitlines() if line.startswith("- ") and
                  f"https://civitai.example/{digit}" in line and digit * 64 in line]  # fmt: skip
        assert f"copy_{digit}.safetensors" in line
    assert "9" * 64 not in notice.text


def test_a_notice_to_the_hub_of_a_copy_names_the_copy(case: Case) -> None:
    notice = draft_notice("hub-huggingface", case, given_for("hub-huggingface"), NOON)
    assert "9" * 64 in notice.text
    assert "0" * 64 not in notice.text


def test_a_law_that_reaches_identical_files_only(case: Case) -> None:
    """The statement of reasons is about the listing that was acted on."""
    given = given_for("eu-dsa-17")
    notice = draft_notice("eu-dsa-17", case, given, NOON)
    assert not any(digit * 64 in notice.text for digit in "01239")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_of_a_case_shows_them(
    service: CaseService, person: str, site: Site, language: str
) -> None:
    case = filed(service, make_case(service.case_store), person)
    for number, relation in enumerate(KINDS):
        attach(service.case_store, case, str(number), relation, "civitai")
    reviewer = site.browser("lina", Role.REVIEWER, Role.LEGAL)
    html = reviewer.get(f"/cases/{case.case_id}", params={"lang": language}).text
    for digit in range(len(KINDS)):
        assert f"https://civitai.example/{digit}" in html
    if language == "zh-CN":
        assert english_in(html.replace("mirror", "")) == []
        assert "由这些权重改制的文件" in html
