"""Pages in Chinese hold no English sentence of the program's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.pages.facts import PageFacts, PageKind
from crawlers.captures.pages.page import CapturedPage
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.vault import Submission
from reports.cases.case import Case
from scanner.casework.service import CaseService
from scanner.settings import Settings
from scanner.web.auth.access import Role
from scanner.web.queue.job import Job, JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from tests.cases import AT, make_case, make_sighted_case
from tests.conftest import NOON, proof
from tests.opening import open_service
from tests.test_chinese_reports import _CREDENTIALS, _REASON, chinese_case, english_in
from tests.test_page_safety import Site

_LICENCE = "licence 1a2b3c4d until 2027-01-01"
_PICKLE = (
    "this is a pickle; it was not opened, because loading one runs code from the file; "
    "it would call os.system: treat the file as malware"
)
_CHECKS = ("7 records agree with their own digests", "it is not signed")
_NOTES = ("only 2 of 9 pages were read", "the WARC ends in a gzip member that cannot be read")


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    made = Site(settings)
    yield made
    made.stranger.__exit__(None, None, None)


@pytest.fixture
def service(settings: Settings) -> Iterator[CaseService]:
    opened = open_service(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def person(service: CaseService, submission: Submission) -> str:
    identity = service.vault.enrolments.submit(submission, NOON)
    return service.vault.enrolments.approve(identity.identity_id, "olga", proof(), NOON).identity_id


def filed(service: CaseService, case: Case, person: str) -> Case:
    """The case in Chinese, stored under an id of its own and noted in the audit log."""
    signals = ("trained on 41 images in a folder named '40_erika', a person's class word",)
    checkpoint = replace(case.checkpoint, title="艾丽卡", signals=signals)
    case = chinese_case(case, case_id=case.case_id[::-1], identity_id=person, checkpoint=checkpoint)
    if case.sighting is not None:
        says = (("credentials", _CREDENTIALS), ("not read", "its EXIF is damaged (ValueError)"))
        images = tuple(replace(image, says=says) for image in case.sighting.images)
        pages = tuple(replace(page, title="帖子") for page in case.sighting.pages)
        sighting = replace(case.sighting, images=images, pages=pages, account_name="假冒艾丽卡")
        case = replace(case, reason="no image shows a usable face", sighting=sighting)
    service.case_store.open(case)
    text = f"4 images were captured by now: {_REASON}"
    service.case_store.add(case.case_id, "note", "李娜", AT, {"text": text})
    return service.case_store.case(case.case_id)


def read(browser: TestClient, address: str) -> str:
    answer = browser.get(address, params={"lang": "zh-CN"})
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("make", [make_case, make_sighted_case])
def test_the_queue_and_the_pages_of_a_case(
    service: CaseService, person: str, site: Site, make: Any
) -> None:
    case = filed(service, make(service.case_store), person)
    reviewer = site.browser("lina", Role.REVIEWER, Role.LEGAL)
    assert english_in(read(reviewer, "/cases")) == []
    html = read(reviewer, f"/cases/{case.case_id}")
    assert english_in(html) == []
    assert ("没有图像显示" if case.sighting else "得分 0.72，高于阈值 0.60") in html
    holder = site.browser("erika", Role.RIGHTS_HOLDER)
    account = site.account("erika", Role.RIGHTS_HOLDER)
    site.app_context.accounts.give_mandate(account.account_id, person, "self")
    assert english_in(read(holder, f"/likeness/{person}/cases/{case.case_id}")) == []


def ended_job(site: Site, rows: list[JobRow], problem: str | None = None) -> Job:
    jobs = site.app_context.jobs
    job, _ = jobs.submit(JobRequest("somebody", JobKind.TARGET, "文件夹", "文件夹"))
    assert jobs.claim() is not None
    jobs.keep_rows(job.job_id, rows)
    return jobs.finish(job.job_id, None, problem, lambda _: None)


def test_a_scan(site: Site) -> None:
    reasons = (_REASON, _PICKLE, "nobody is registered, so nobody can be matched", *_NOTES)
    rows = [JobRow("文件.bin", "ab" * 32, "failed", reason) for reason in reasons]
    rows.append(JobRow("文件.bin", "cd" * 32, "match", _REASON, authorised=_LICENCE))
    operator = site.browser("olga", Role.OPERATOR)
    job = ended_job(site, rows)
    html = read(operator, f"/scans/{job.job_id}")
    assert english_in(html) == []
    assert "授权 1a2b3c4d，有效期至 2027-01-01" in html
    for problem in (
        "the worker died 3 times over it",
        "a mistake of the program's (KeyError); its log has more under job 7",
    ):
        job = ended_job(site, [], problem)
        assert english_in(read(operator, f"/scans/{job.job_id}")) == []
    unknown = ended_job(site, [replace(rows[0], reason="the moon is full")])
    assert "原文：“the moon is full”" in read(operator, f"/scans/{unknown.job_id}")
    page = operator.get(f"/scans/{job.job_id}", params={"lang": "en"})
    assert "its log has more under job 7" in page.text


def captured(settings: Settings) -> tuple[CaptureRow, CaptureRow]:
    """A capture with a page, and one that cannot be read."""
    store = CrawlStore(settings.crawl_path)
    captures = CaptureStore(store, settings.captures_path)
    row = CaptureRow(
        capture_id="ab" * 32,
        name="页面.warc",
        format="table of screenshots",
        size_bytes=12,
        taken_in_at=NOON.isoformat(),
        taken_in_by="李娜",
        tool=None,
        made_with=None,
        checks=_CHECKS,
        notes=_NOTES,
        problem=None,
        pages=1,
    )
    problem = "reading it took longer than 300 s"
    broken = replace(row, capture_id="cd" * 32, checks=(), notes=(), problem=problem, pages=0)
    page = CapturedPage("https://social.example/1", "帖子", None, None, "", ())
    facts = PageFacts(
        kind=PageKind.POST, platform="social", title="帖子", extractor="xianyu offer as drawn"
    )
    assert captures.add(row, [(page, facts, ())], [()])
    assert captures.add(broken, [], [])
    store.close()
    return row, broken


def test_captures(settings: Settings, site: Site) -> None:
    rows = captured(settings)
    reviewer = site.browser("lina", Role.REVIEWER, Role.LEGAL)
    html = read(reviewer, "/captures")
    assert english_in(html) == []
    assert "读取用时超过 300 秒" in html
    for row in rows:
        assert english_in(read(reviewer, f"/captures/{row.capture_id}")) == []
    html = read(reviewer, f"/captures/{rows[0].capture_id}")
    assert "7 条记录与其自身摘要一致" in html
    assert "闲鱼商品，取自可见页面" in html
