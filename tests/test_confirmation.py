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
from scanner.casework.service import CaseDesk
from scanner.settings import Settings
from scanner.web.service_pool import PageDesk
from tests.cases import make_case, make_sighted_case
from tests.conftest import NOON, proof

WORDS = "one face in every sample, none without the file"


@pytest.fixture
def desk(settings: Settings) -> Iterator[CaseDesk]:
    opened = CaseDesk(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def person(desk: CaseDesk, submission: Submission) -> str:
    identity = desk.vault.submit(submission, NOON)
    return desk.vault.approve(identity.identity_id, "olga", proof(), NOON).identity_id


@pytest.fixture
def case(desk: CaseDesk, person: str) -> Case:
    return make_case(desk.docket, identity_id=person)


def refusal(desk: CaseDesk, case: Case, reason: str = WORDS) -> str:
    with pytest.raises(ConfirmationRefused) as refused:
        desk.review(case.case_id, "Li Na", "confirm", reason)
    assert desk.case(case.case_id).status == "draft"
    return refused.value.why


def open_pairs(desk: CaseDesk, case: Case, count: int) -> None:
    for pair in comparisons_of(case)[:count]:
        for picture in pair:
            desk.note_shown(case, blurred=False, sha256=[picture])


def test_three_pairs_are_opened_before_a_case_is_confirmed(desk: CaseDesk, case: Case) -> None:
    assert refusal(desk, case) == "unseen"
    open_pairs(desk, case, 2)
    assert refusal(desk, case) == "unseen"
    open_pairs(desk, case, 3)
    assert desk.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_a_sample_without_its_control_is_no_pair(desk: CaseDesk, case: Case) -> None:
    shown = [sample.image_sha256 for sample in case.samples if sample.image_sha256]
    desk.note_shown(case, blurred=False, sha256=shown)
    assert refusal(desk, case) == "unseen"


@pytest.mark.parametrize("others", ["blurred", "another login", "another case", "redacted"])
def test_what_others_saw_or_saw_blurred_does_not_count(
    desk: CaseDesk, case: Case, others: str, tmp_path: Path
) -> None:
    pictures = [one for pair in comparisons_of(case) for one in pair]
    if others == "blurred":
        desk.note_shown(case, blurred=True, sha256=pictures)
    elif others == "another login":
        desk.actor = "omar"
        desk.note_shown(case, blurred=False, sha256=pictures)
        desk.actor = "li"
    elif others == "another case":
        desk.note_shown(replace(case, case_id="another"), blurred=False, sha256=pictures)
    else:
        desk.write_report(case.case_id, tmp_path, "en", redacted=True, pdf=False)
    assert refusal(desk, case) == "unseen"


def test_the_whole_report_shows_every_pair(desk: CaseDesk, case: Case, tmp_path: Path) -> None:
    desk.write_report(case.case_id, tmp_path, "en", redacted=False, pdf=False)
    assert desk.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_faces_of_captured_images_are_opened_too(desk: CaseDesk, person: str) -> None:
    case = make_sighted_case(desk.docket, identity_id=person)
    assert refusal(desk, case) == "unseen"
    open_pairs(desk, case, 3)
    assert desk.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_a_case_without_pictures_is_not_confirmed(desk: CaseDesk, person: str) -> None:
    case = make_case(desk.docket, samples=0, identity_id=person)
    assert refusal(desk, case) == "unseen"


def test_every_confirmation_has_words_of_its_own(desk: CaseDesk, case: Case, person: str) -> None:
    other = make_case(desk.docket, identity_id=person, case_id="facade0123456789")
    for one in (case, other):
        open_pairs(desk, one, 3)
    desk.review(case.case_id, "Li Na", "confirm", WORDS)
    for spelt in (WORDS, f"  {WORDS} ", WORDS.title(), f"{WORDS}."):
        assert refusal(desk, other, spelt) == "same-words"
    assert (
        desk.review(other.case_id, "Li Na", "confirm", "the mole and the chin in 12 of 16").status
        == "confirmed"
    )


def test_a_second_reviewer_does_not_sign_the_first_ones_words(
    desk: CaseDesk, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "settings", desk.settings.model_copy(update={"four_eyes": True}))
    open_pairs(desk, case, 3)
    assert desk.review(case.case_id, "Li Na", "confirm", WORDS).status == "second-review"
    with pytest.raises(ConfirmationRefused, match="the words of Li Na"):
        desk.review(case.case_id, "Omar", "confirm", WORDS)


def test_after_an_appeal_the_same_reviewer_may_say_the_same(desk: CaseDesk, case: Case) -> None:
    open_pairs(desk, case, 3)
    desk.review(case.case_id, "Li Na", "confirm", WORDS)
    desk.amend(case.case_id, "appeal", "the uploader", "it is a parody")
    assert desk.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"


def test_on_pages_a_saved_report_is_not_yet_looked_at(
    settings: Settings, case: Case, tmp_path: Path
) -> None:
    pages = PageDesk(settings, clock=lambda: NOON, any_thread=True)
    pages.write_report(case.case_id, tmp_path, "en", redacted=False, pdf=False)
    with pytest.raises(ConfirmationRefused, match="open at least 3"):
        pages.review(case.case_id, "Li Na", "confirm", WORDS)
    open_pairs(pages, case, 3)
    assert pages.review(case.case_id, "Li Na", "confirm", WORDS).status == "confirmed"
    pages.close()


def test_nothing_is_confirmed_of_somebody_who_has_withdrawn(
    desk: CaseDesk, case: Case, person: str
) -> None:
    open_pairs(desk, case, 3)
    desk.vault.withdraw(person, NOON, "olga")
    assert refusal(desk, case) == "withdrawn"
    assert desk.review(case.case_id, "Li Na", "reject", "they withdrew").status == "rejected"
