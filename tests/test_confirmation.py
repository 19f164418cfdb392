"""Nobody confirms a case unseen, in another's words, or of somebody who has withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from face_index.vault import Submission
from reports.cases.case import Case
from reports.errors import ConfirmationRefused
from scanner.casework.confirmation import comparisons_of
from scanner.casework.service import CaseService
from scanner.settings import Settings
from scanner.web.service_pool import PageCaseService
from tests.cases import make_case, make_sighted_case
from tests.conftest import NOON, proof
from tests.opening import open_service

WORDS = "one face in every sample, none without the file"


@pytest.fixture
def service(settings: Settings) -> Iterator[CaseService]:
    opened = open_service(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def person(service: CaseService, submission: Submission) -> str:
    identity = service.vault.enrolments.submit(submission, NOON)
    return service.vault.enrolments.approve(identity.identity_id, "olga", proof(), NOON).identity_id


@pytest.fixture
def case(service: CaseService, person: str) -> Case:
    return make_case(service.case_store, identity_id=person)


def refusal(service: CaseService, case: Case, reason: str = WORDS) -> str:
    with pytest.raises(ConfirmationRefused) as refused:
        service.review(case.case_id, "Li Na", "confirm", reason)
    assert service.case(case.case_id).status == "draft"
    return refused.value.why


def open_pairs(service: CaseService, case: Case, count: int) -> None:
    for pair in comparisons_of(case)[:count]:
        for picture in pair:
            service.note_shown(case, blurred=False, sha256=[picture])


def test_three_pairs_are_opened_before_a_case_is_confirmed(
    service: CaseService, case: Case
) -> None:
    assert refusal(service, case) == "unseen"
    open_pairs(service, case, 2)
    assert refusal(service, case) == "unseen"
    open_pairs(service, case, 3)
    assert service.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_a_sample_without_its_control_is_no_pair(service: CaseService, case: Case) -> None:
    shown = [sample.image_sha256 for sample in case.samples if sample.image_sha256]
    service.note_shown(case, blurred=False, sha256=shown)
    assert refusal(service, case) == "unseen"


@pytest.mark.parametrize("others", ["blurred", "another login", "another case", "redacted"])
def test_what_others_saw_or_saw_blurred_does_not_count(
    service: CaseService, case: Case, others: str, tmp_path: Path
) -> None:
    pictures = [one for pair in comparisons_of(case) for one in pair]
    if others == "blurred":
        service.note_shown(case, blurred=True, sha256=pictures)
    elif others == "another login":
        service.actor = "omar"
        service.note_shown(case, blurred=False, sha256=pictures)
        service.actor = "li"
    elif others == "another case":
        service.note_shown(replace(case, case_id="another"), blurred=False, sha256=pictures)
    else:
        service.write_report(case.case_id, tmp_path, "en", redacted=True, pdf=False)
    assert refusal(service, case) == "unseen"


def test_the_whole_report_shows_every_pair(
    service: CaseService, case: Case, tmp_path: Path
) -> None:
    service.write_report(case.case_id, tmp_path, "en", redacted=False, pdf=False)
    assert service.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_faces_of_captured_images_are_opened_too(service: CaseService, person: str) -> None:
    case = make_sighted_case(service.case_store, identity_id=person)
    assert refusal(service, case) == "unseen"
    open_pairs(service, case, 3)
    assert service.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_a_case_without_pictures_is_not_confirmed(service: CaseService, person: str) -> None:
    case = make_case(service.case_store, samples=0, identity_id=person)
    assert refusal(service, case) == "unseen"


def test_every_confirmation_has_words_of_its_own(
    service: CaseService, case: Case, person: str
) -> None:
    other = make_case(service.case_store, identity_id=person, case_id="facade0123456789")
    for one in (case, other):
        open_pairs(service, one, 3)
    service.review(case.case_id, "Li Na", "confirm", WORDS)
    for spelt in (WORDS, f"  {WORDS} ", WORDS.title(), f"{WORDS}."):
        assert refusal(service, other, spelt) == "same-words"
    assert (
        service.review(
            other.case_id, "Li Na", "confirm", "the mole and the chin in 12 of 16"
        ).status
        == "confirmed"
    )


def test_a_second_reviewer_does_not_sign_the_first_ones_words(
    service: CaseService, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "rules", replace(service.rules, four_eyes=True))
    open_pairs(service, case, 3)
    assert service.review(case.case_id, "Li Na", "confirm", WORDS).status == "second-review"
    with pytest.raises(ConfirmationRefused, match="the words of Li Na"):
        service.review(case.case_id, "Omar", "confirm", WORDS)


def test_after_an_appeal_the_same_reviewer_may_say_the_same(
    service: CaseService, case: Case
) -> None:
    open_pairs(service, case, 3)
    service.review(case.case_id, "Li Na", "confirm", WORDS)
    service.amend(case.case_id, "appeal", "the uploader", "it is a parody")
    assert service.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_on_pages_a_saved_report_is_not_yet_looked_at(
    settings: Settings, case: Case, tmp_path: Path
) -> None:
    pages = PageCaseService(settings, clock=lambda: NOON)
    pages.write_report(case.case_id, tmp_path, "en", redacted=False, pdf=False)
    with pytest.raises(ConfirmationRefused, match="open at least 3"):
        pages.review(case.case_id, "Li Na", "confirm", WORDS)
    open_pairs(pages, case, 3)
    assert pages.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"
    pages.close()


def test_nothing_is_confirmed_of_somebody_who_has_withdrawn(
    service: CaseService, case: Case, person: str
) -> None:
    open_pairs(service, case, 3)
    service.vault.erasure.withdraw(person, NOON, "olga")
    assert refusal(service, case) == "withdrawn"
    assert service.review(case.case_id, "Li Na", "reject", "they withdrew").status == "rejected"
