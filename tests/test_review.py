"""Review: a named person decides, nothing is overwritten, four eyes where they are wanted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.review import require_confirmed, review_details
from reports.errors import CasesLost, NotReviewed, ReviewRefused, UnknownCase
from tests.cases import AT, make_case


@pytest.fixture
def case(case_store: CaseStore) -> Case:
    return make_case(case_store)


def decide(
    case_store: CaseStore, case: Case, who: str, decision: str, *, four_eyes: bool = False
) -> Case:
    now = case_store.case(case.case_id)
    case_store.add(
        case.case_id,
        "review",
        who,
        AT,
        review_details(now, who, decision, "a reason", four_eyes=four_eyes),
    )
    return case_store.case(case.case_id)


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("confirm", "confirmed"),
        ("reject", "rejected"),
        ("more-samples", "more-samples"),
        ("authorised", "authorised"),
    ],
)
def test_every_decision_has_its_status(
    case_store: CaseStore, case: Case, decision: str, status: str
) -> None:
    assert case_store.case(case.case_id).status == "draft"
    assert decide(case_store, case, "Li Na", decision).status == status


def test_a_name_a_reason_and_a_known_decision_are_needed(case: Case) -> None:
    for who, decision, reason, told in (
        (" ", "confirm", "x", "reviewer's name"),
        ("Li", "confirm", " ", "reason"),
        ("Li", "maybe", "x", "not one of"),
    ):
        with pytest.raises(ReviewRefused, match=told):
            review_details(case, who, decision, reason, four_eyes=False)


def test_four_eyes_are_those_of_two_people(case_store: CaseStore, case: Case) -> None:
    assert decide(case_store, case, "Li Na", "confirm", four_eyes=True).status == "second-review"
    with pytest.raises(NotReviewed):
        require_confirmed(case_store.case(case.case_id))
    with pytest.raises(ReviewRefused, match="somebody else"):
        decide(case_store, case, "LI  NA.", "confirm", four_eyes=True)
    assert decide(case_store, case, "Omar", "confirm", four_eyes=True).status == "confirmed"
    assert require_confirmed(case_store.case(case.case_id)).actor == "Omar"


def test_a_rejection_between_two_confirmations_starts_again(
    case_store: CaseStore, case: Case
) -> None:
    decide(case_store, case, "Li Na", "confirm", four_eyes=True)
    decide(case_store, case, "Omar", "reject", four_eyes=True)
    assert decide(case_store, case, "Li Na", "confirm", four_eyes=True).status == "second-review"


def test_an_appeal_takes_the_decision_back_and_a_correction_does_not(
    case_store: CaseStore, case: Case
) -> None:
    decide(case_store, case, "Li Na", "confirm")
    case_store.add(case.case_id, "correction", "Li Na", AT, {"text": "the uploader is another"})
    assert case_store.case(case.case_id).status == "confirmed"
    case_store.add(case.case_id, "appeal", "maker", AT, {"text": "it is a parody"})
    assert case_store.case(case.case_id).status == "appealed"
    assert decide(case_store, case, "Omar", "confirm").status == "confirmed"
    assert [entry.kind for entry in case_store.case(case.case_id).entries] == [
        "review",
        "correction",
        "appeal",
        "review",
    ]


def test_nothing_is_overwritten_even_in_sqlite(
    case_store: CaseStore, case: Case, tmp_path: Path
) -> None:
    decide(case_store, case, "Li Na", "confirm")
    db = Database(tmp_path / "cases.db")
    for statement in ("update entries set actor = 'x'", "delete from entries"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            db.execute(statement)
    db.close()


@pytest.mark.usefixtures("case")
def test_an_emptied_file_is_not_taken_for_no_cases(case_store: CaseStore, tmp_path: Path) -> None:
    case_store.close()
    path = tmp_path / "cases.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.touch()
    with pytest.raises(CasesLost, match="Put its backup back"):
        CaseStore(path, tmp_path / "evidence")
    assert path.stat().st_size == 0
    path.unlink()
    CaseStore(path, tmp_path / "evidence").close()  # begun anew


def test_a_case_is_found_by_the_beginning_of_its_id(case_store: CaseStore, case: Case) -> None:
    assert case_store.case("c0ffee").case_id == case.case_id
    for odd in ("c0ffe", "%%%%%%", "______", ""):
        with pytest.raises(UnknownCase):
            case_store.case(odd)
    make_case(case_store, case_id="c0ffee9999999999")
    with pytest.raises(UnknownCase):
        case_store.case("c0ffee")
