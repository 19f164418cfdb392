"""Lists of cases and notices: what reading every case would give, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reports.cases.case import Case
from reports.cases.case_list import CaseFilter, CaseOrder, urgent_cursor
from reports.cases.case_store import CaseStore
from reports.cases.notice_list import NoticeState
from reports.cases.review import OPEN
from reports.cases.urgency import queued
from reports.notices.tracker import count_notices, notice_page, tracked
from tests.cases import AT, make_case, make_sighted_case

COUNT = 40
HUBS = ("civitai", "huggingface", "modelscope")
NOW = AT + timedelta(days=60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaseStore]:
    with closing(CaseStore(tmp_path / "cases.db", tmp_path / "evidence")) as opened:
        yield opened


def fill(store: CaseStore) -> None:
    """Open cases of several people, hubs and ages; decide and appeal some, and send notices."""
    base = make_case(
        store, samples=2, case_id="base", opened_at=(AT - timedelta(days=9)).isoformat()
    )
    for number in range(COUNT):
        checkpoint = replace(
            base.checkpoint,
            file=f"{'Retro' if number % 2 else 'Studio'}_{number}.safetensors",
            hub=HUBS[number % 3],
            downloads=10 ** (number % 5),
            sha256=f"{number % 7:064x}",
            creator=None if number % 4 else "Mäker 李雷",
        )
        at = AT + timedelta(days=number // 2, seconds=number % 2)
        case = replace(
            base,
            case_id=f"{number:016x}",
            opened_at=at.isoformat(),
            outcome="match" if number % 3 else "possible",
            identity_id=f"id-{number % 5}",
            checkpoint=checkpoint,
        )
        store.open(case)
        later = at + timedelta(days=1)
        if number % 4 == 1:
            decision = "confirm" if number % 8 == 1 else "reject"
            store.add(case.case_id, "review", "olga", later, {"decision": decision, "reason": "r"})
        if number % 16 == 1:
            store.add(case.case_id, "appeal", "erika", later, {"text": "not me"})
        if number % 10 == 2:
            store.add(case.case_id, "request", "erika", later, {"text": ""})
        if number % 10 == 3:
            store.add(case.case_id, "note", "olga", later, {"text": "look again"})


def matching(store: CaseStore, keep: Callable[[Case], bool]) -> list[Case]:
    return [case for case in store.cases() if keep(case)]


def paged(store: CaseStore, wanted: CaseFilter, order: CaseOrder, size: int = 7) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while page := store.lists.page(wanted, order, after=after, limit=size, now=NOW):
        found += [case.case_id for case in page]
        after = urgent_cursor(page[-1], NOW) if order == CaseOrder.URGENT else page[-1].case_id
    return found


def test_what_is_decided_meanwhile_skips_nothing(store: CaseStore) -> None:
    fill(store)
    wanted = CaseFilter(OPEN)
    whole = paged(store, wanted, CaseOrder.URGENT)
    first = store.lists.page(wanted, CaseOrder.URGENT, limit=5, now=NOW)
    details = {"decision": "reject", "reason": "r"}
    store.add(first[-1].case_id, "review", "olga", NOW, details)
    after = urgent_cursor(first[-1], NOW)
    tomorrow = NOW + timedelta(days=1)
    second = store.lists.page(wanted, CaseOrder.URGENT, after=after, limit=5, now=tomorrow)
    assert [case.case_id for case in second] == whole[5:10]


@pytest.mark.parametrize("after", ["nothing", "1.2", "1.2.3", "a.b.c", "9" * 30 + ".1.c", ""])
def test_a_cursor_that_nobody_gave_is_the_end(store: CaseStore, after: str) -> None:
    fill(store)
    assert store.lists.page(order=CaseOrder.URGENT, after=after, now=NOW) == []


FILTERS: dict[str, tuple[CaseFilter, Callable[[Case], bool]]] = {
    "every case": (CaseFilter(), lambda _: True),
    "open ones": (CaseFilter(OPEN), lambda case: case.status in OPEN),
    "confirmed": (CaseFilter(("confirmed",)), lambda case: case.status == "confirmed"),
    "appealed": (CaseFilter(("appealed",)), lambda case: case.status == "appealed"),
    "a hub": (CaseFilter(hub="civitai"), lambda case: case.checkpoint.hub == "civitai"),
    "an outcome": (CaseFilter(outcome="possible"), lambda case: case.outcome == "possible"),
    "a person": (CaseFilter(identity_id="id-3"), lambda case: case.identity_id == "id-3"),
    "a file": (CaseFilter(sha256=f"{2:064x}"), lambda case: case.checkpoint.sha256 == f"{2:064x}"),
    "words": (CaseFilter(words="RETRO_1"), lambda case: "Retro_1" in case.checkpoint.file),
    "two signs": (CaseFilter(words="李雷"), lambda case: "李雷" in (case.checkpoint.creator or "")),
    "quotes": (CaseFilter(words='"li'), lambda _: False),
    "several": (
        CaseFilter(OPEN, "match", "modelscope", words="safetensors"),
        lambda case: (
            case.status in OPEN and case.outcome == "match" and case.checkpoint.hub == "modelscope"
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_list_holds_what_reading_every_case_gives(store: CaseStore, name: str) -> None:
    fill(store)
    wanted, keep = FILTERS[name]
    expected = [case.case_id for case in matching(store, keep)]
    assert paged(store, wanted, CaseOrder.OLDEST) == expected
    assert paged(store, wanted, CaseOrder.NEWEST) == expected[::-1]
    assert store.lists.count(wanted) == len(expected)
    urgent = [queued(case, NOW) for case in store.lists.page(wanted)]
    urgent.sort(key=lambda one: (-one.points, one.case.opened_at, one.case.case_id))
    found = paged(store, wanted, CaseOrder.URGENT)
    assert found == [one.case.case_id for one in urgent]


@pytest.mark.parametrize("days", [0, 5, 19, 20, 21, 45])
def test_urgency_rises_with_age_to_a_point(store: CaseStore, days: int) -> None:
    fill(store)
    now = AT + timedelta(days=days)
    cases = [queued(case, now) for case in store.lists.page(CaseFilter(OPEN))]
    cases.sort(key=lambda one: (-one.points, one.case.opened_at, one.case.case_id))
    page = store.lists.page(CaseFilter(OPEN), CaseOrder.URGENT, now=now)
    assert [case.case_id for case in page] == [one.case.case_id for one in cases]


def test_the_log_of_a_case_comes_with_it(store: CaseStore) -> None:
    fill(store)
    for case in store.lists.page():
        assert case.entries == store.entries(case.case_id)
        assert case.status == store.case(case.case_id).status


def test_what_has_changed_since(store: CaseStore) -> None:
    fill(store)
    since = AT + timedelta(days=10)
    changed = {
        case.case_id
        for case in store.cases()
        if max([case.opened_at, *(one.at for one in case.entries if one.kind != "note")])
        >= since.isoformat()
    }
    found = store.lists.page(CaseFilter(changed_since=since.isoformat()))
    assert {case.case_id for case in found} == changed


def test_an_unknown_case_is_the_end_of_a_list(store: CaseStore) -> None:
    fill(store)
    assert store.lists.page(after="nothing") == []


def test_months_and_hubs(store: CaseStore) -> None:
    fill(store)
    opened = [case for case in store.cases() if case.opened_at.startswith("2026-12")]
    assert store.lists.opened_in("2026-12") == {
        outcome: sum(case.outcome == outcome for case in opened)
        for outcome in ("match", "possible")
    }
    assert store.lists.hubs() == sorted(HUBS)


def test_captures_name_their_cases(store: CaseStore) -> None:
    case = make_sighted_case(store)
    assert case.sighting is not None
    capture_id = case.sighting.captures[0].capture_id
    assert store.cases_by_capture([capture_id, "another"]) == {capture_id: (case.case_id,)}
    assert [one.case_id for one in store.resting_on(capture_id)] == [case.case_id]
    assert store.resting_on("another") == []


TIMED, UNTIMED = "us-take-it-down", "eu-dsa-16"


def send_notices(store: CaseStore) -> None:
    base = make_case(store, samples=1)
    for number in range(12):
        case = replace(base, case_id=f"{number:016x}")
        store.open(case)
        template = TIMED if number % 2 else UNTIMED
        about = {"notice": f"{case.case_id}-1", "template": template}
        drafted = {**about, "event": "drafted", "url": "https://hub/1"}
        at = AT + timedelta(hours=number)
        store.add(case.case_id, "notice", "olga", at, drafted)
        events: list[tuple[str, datetime]] = []
        if number > 3:
            events = [("sent", AT + timedelta(hours=100 - 7 * number))]
        if number > 9:
            events.append(("removed", AT + timedelta(hours=200)))
        for event, happened in events:
            details = {**about, "event": event, "at": happened.isoformat()}
            store.add(case.case_id, "notice", "olga", at, details)


def test_notices_are_listed_by_their_deadline(store: CaseStore) -> None:
    send_notices(store)
    every = [tracked(store, f"{number:016x}-1") for number in range(12)]
    expected = sorted(
        every, key=lambda one: (one.due is None, one.due or NOW, one.history[0].number)
    )
    found: list[str] = []
    after: str | None = None
    while page := notice_page(store, after=after, limit=5):
        found += [notice.notice_id for notice in page]
        after = page[-1].cursor
    assert found == [notice.notice_id for notice in expected]
    assert sum(notice.due is not None for notice in every) == 3
    assert count_notices(store) == 12
    assert count_notices(store, [TIMED]) == len(notice_page(store, templates=[TIMED])) == 6
    sent = notice_page(store, [NoticeState.SENT])
    assert {notice.state for notice in sent} == {NoticeState.SENT}
    assert len(sent) == 6


def test_a_notice_that_is_answered_meanwhile_skips_nothing(store: CaseStore) -> None:
    send_notices(store)
    whole = [notice.notice_id for notice in notice_page(store)]
    first = notice_page(store, limit=2)
    last = first[-1]
    assert last.due is not None
    about = {"notice": last.notice_id, "template": last.template, "event": "removed"}
    store.add(last.case_id, "notice", "olga", NOW, about)
    second = notice_page(store, after=last.cursor, limit=3)
    assert [notice.notice_id for notice in second] == whole[2:5]
    assert notice_page(store, after="nothing@") == notice_page(store, after="nothing@5") == []


def test_cases_of_before_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    with closing(CaseStore(path, tmp_path / "evidence")) as store:
        fill(store)
        send_notices(store)
        make_sighted_case(store)
        before = _lists(store)
        db = store._db
        columns = ("outcome", "hub", "sha256", "status", "changed_at", "points", "opened_s")
        for (index,) in db.execute(
            "select name from sqlite_master where type = 'index' and tbl_name = 'summaries' "
            "and (sql like '%status%' or sql like '%sha256%' or sql like '%hub%' "
            "or sql like '%changed_at%' or sql like '%opened_at%')"
        ).fetchall():
            db.execute(f"drop index [{index}]")
        for column in columns:
            db.execute(f"alter table summaries drop column {column}")
        for table in ("case_words", "case_captures", "notices"):
            db.execute(f"drop table {table}")
        for index in ("idx_entries_kind_at", "idx_summaries_weights"):
            db.execute(f"drop index {index}")
        for name in ("lists_that_follow_the_cases", "cases_by_weights"):
            db.execute("delete from _sqlite_migrations where name = ?", [name])
        db.conn.commit()
    with closing(CaseStore(path, tmp_path / "evidence")) as store:
        assert _lists(store) == before


def _lists(store: CaseStore) -> list[object]:
    return [
        [paged(store, wanted, order) for wanted, _ in FILTERS.values() for order in CaseOrder],
        [notice.notice_id for notice in notice_page(store)],
        store.cases_by_capture(["ab" * 32]),
    ]
