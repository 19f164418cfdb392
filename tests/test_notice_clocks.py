"""The periods of laws: hours to the minute, days and months to the end of their last day."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.cases.case_store import CaseStore
from reports.cases.notice_list import NoticeState
from reports.notices.clocks import Clock
from reports.notices.drafting import draft_notice
from reports.notices.tracker import notice_page, record_draft, record_event, tracked
from tests.cases import AT, make_case, reviewed
from tests.test_notices import given_for

ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 12, 31), timezones=ZONES)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("clock", "start", "end"),
    [
        (Clock(hours=48), "2026-03-28T23:30:00+00:00", "2026-03-30T23:30:00+00:00"),
        (Clock(hours=2), "2026-12-31T23:30:00+05:30", "2026-12-31T20:00:00+00:00"),
        (Clock(days=7), "2026-02-25T09:00:00+00:00", "2026-03-04T23:59:59+00:00"),
        (Clock(days=7), "2028-02-25T09:00:00+00:00", "2028-03-03T23:59:59+00:00"),
        (Clock(months=1), "2026-01-31T09:00:00+00:00", "2026-02-28T23:59:59+00:00"),
        (Clock(months=1), "2028-01-31T09:00:00+00:00", "2028-02-29T23:59:59+00:00"),
        (Clock(months=1), "2026-11-30T00:00:00+00:00", "2026-12-30T23:59:59+00:00"),
        (Clock(months=6), "2026-08-31T12:00:00+00:00", "2027-02-28T23:59:59+00:00"),
        (Clock(months=1), "2026-02-01T02:00:00+08:00", "2026-02-28T23:59:59+00:00"),
    ],
)
def test_ends_of_periods(clock: Clock, start: str, end: str) -> None:
    assert clock.end(datetime.fromisoformat(start)).isoformat() == end


@given(start=TIMES, months=st.integers(1, 24))
def test_months_end_on_the_same_day_or_the_last_of_the_month(start: datetime, months: int) -> None:
    end, began = Clock(months=months).end(start), start.astimezone(UTC)
    assert (end.year * 12 + end.month) - (began.year * 12 + began.month) == months
    last = calendar.monthrange(end.year, end.month)[1]
    assert end.day == min(began.day, last)
    assert (end.hour, end.minute, end.second) == (23, 59, 59)


@given(start=TIMES, hours=st.integers(1, 1000))
def test_hours_do_not_depend_on_time_zones(start: datetime, hours: int) -> None:
    clock = Clock(hours=hours)
    assert clock.end(start) - start == timedelta(hours=hours)
    assert clock.end(start.astimezone(UTC)) == clock.end(start)


@given(start=TIMES, days=st.integers(1, 400))
def test_days_are_whole_and_do_not_count_the_first(start: datetime, days: int) -> None:
    end = Clock(days=days).end(start)
    assert (end.date() - start.astimezone(UTC).date()).days == days


@pytest.mark.parametrize("wrong", [{}, {"hours": 1, "days": 1}, {"days": 1, "months": 2}])
def test_a_period_has_one_unit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="hours, days or months"):
        Clock(**wrong)


def test_months_run_from_sending(case_store: CaseStore) -> None:
    case = reviewed(case_store, make_case(case_store))
    draft = draft_notice("eu-gdpr-17", case, given_for("eu-gdpr-17"), AT)
    notice_id = record_draft(case_store, draft, "Kim", AT)
    assert tracked(case_store, notice_id).due is None
    sent = record_event(case_store, notice_id, "sent", "Kim", AT)
    assert sent.due == Clock(months=1).end(AT)


def test_a_complaint_must_be_sent_within_six_months_of_the_decision(
    case_store: CaseStore,
) -> None:
    case = reviewed(case_store, make_case(case_store))
    given = given_for("eu-dsa-20") | {"decision_date": "2026-08-31"}
    complaint = record_draft(case_store, draft_notice("eu-dsa-20", case, given, AT), "Kim", AT)
    assert tracked(case_store, complaint).due == datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC)
    # The list is in the same order.
    urgent = record_draft(
        case_store,
        draft_notice("us-take-it-down", case, given_for("us-take-it-down"), AT),
        "Kim",
        AT,
    )
    record_event(case_store, urgent, "sent", "Kim", AT)
    listed = notice_page(case_store)
    assert [notice.notice_id for notice in listed] == [urgent, complaint]
    assert notice_page(case_store, after=listed[0].cursor)[0].notice_id == complaint
    record_event(case_store, complaint, "sent", "Kim", AT)
    assert tracked(case_store, complaint).due is None
    assert tracked(case_store, complaint).state == NoticeState.SENT
    assert date.fromisoformat(given["decision_date"]) < AT.date()
