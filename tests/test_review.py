"""Review: a named person decides, nothing is overwritten, four eyes where they are wanted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from reports.cases.case import Case
from reports.cases.case_store import Docket
from reports.cases.review import require_confirmed, review_details
from reports.errors import CasesLost, NotReviewed, ReviewRefused, UnknownCase
from tests.cases import AT, make_case


@pytest.fixture
def case(docket: Docket) -> Case:
    return make_case(docket)


def decide(docket: Docket, case: Case, who: str, decision: str, *, four_eyes: bool = False) -> Case:
    now = docket.case(case.case_id)
    docket.add(
        case.case_id,
        "review",
        who,
        AT,
        review_details(now, who, decision, "a reason", four_eyes=four_eyes),
    )
    return docket.case(case.case_id)


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
    docket: Docket, case: Case, decision: str, status: str
) -> None:
    assert docket.case(case.case_id).status == "draft"
    assert decide(docket, case, "Li Na", decision).status == status


def test_a_name_a_reason_and_a_known_decision_are_needed(case: Case) -> None:
    for who, decision, reason, told in (
        (" ", "confirm", "x", "reviewer's name"),
        ("Li", "confirm", " ", "reason"),
        ("Li", "maybe", "x", "not one of"),
    ):
        with pytest.raises(ReviewRefused, match=told):
            review_details(case, who, decision, reason, four_eyes=False)


def test_four_eyes_are_those_of_two_people(docket: Docket, case: Case) -> None:
    assert decide(docket, case, "Li Na", "confirm", four_eyes=True).status == "second-review"
    with pytest.raises(NotReviewed):
        require_confirmed(docket.case(case.case_id))
    with pytest.raises(ReviewRefused, match="somebody else"):
        decide(docket, case, "LI  NA.", "confirm", four_eyes=True)
    assert decide(docket, case, "Omar", "confirm", four_eyes=True).status == "confirmed"
    assert require_confirmed(docket.case(case.case_id)).actor == "Omar"


def test_a_rejection_between_two_confirmations_starts_again(docket: Docket, case: Case) -> None:
    decide(docket, case, "Li Na", "confirm", four_eyes=True)
    decide(docket, case, "Omar", "reject", four_eyes=True)
    assert decide(docket, case, "Li Na", "confirm", four_eyes=True).status == "second-review"


def test_an_appeal_takes_the_decision_back_and_a_correction_does_not(
    docket: Docket, case: Case
) -> None:
    decide(docket, case, "Li Na", "confirm")
    docket.add(case.case_id, "correction", "Li Na", AT, {"text": "the uploader is another"})
    assert docket.case(case.case_id).status == "confirmed"
    docket.add(case.case_id, "appeal", "maker", AT, {"text": "it is a parody"})
    assert docket.case(case.case_id).status == "appealed"
    assert decide(docket, case, "Omar", "confirm").status == "confirmed"
    assert [entry.kind for entry in docket.case(case.case_id).entries] == [
        "review",
        "correction",
        "appeal",
        "review",
    ]


def test_nothing_is_overwritten_even_in_sqlite(docket: Docket, case: Case, tmp_path: Path) -> None:
    decide(docket, case, "Li Na", "confirm")
    db = Database(tmp_path / "cases.db")
    for statement in ("update entries set actor = 'x'", "delete from entries"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            db.execute(statement)
    db.close()


@pytest.mark.usefixtures("case")
def test_an_emptied_file_is_not_taken_for_no_cases(docket: Docket, tmp_path: Path) -> None:
    docket.close()
    path = tmp_path / "cases.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.touch()
    with pytest.raises(CasesLost, match="Put its backup back"):
        Docket(path, tmp_path / "evidence")
    assert path.stat().st_size == 0
    path.unlink()
    Docket(path, tmp_path / "evidence").close()  # begun anew


def test_a_case_is_found_by_the_beginning_of_its_id(docket: Docket, case: Case) -> None:
    assert docket.case("c0ffee").case_id == case.case_id
    for odd in ("c0ffe", "%%%%%%", "______", ""):
        with pytest.raises(UnknownCase):
            docket.case(odd)
    make_case(docket, case_id="c0ffee9999999999")
    with pytest.raises(UnknownCase):
        docket.case("c0ffee")
