"""Rate limits of hosts: every worker obeys what a server says."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from crawlers.http.budgets import LONGEST_WAIT_S, HostBudgets, announced_wait_s


class Time:
    """A clock that moves only when a caller sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


def answer(**headers: str) -> httpx.Response:
    return httpx.Response(
        200, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "99999"}, LONGEST_WAIT_S),
        ({"retry_after": "soon"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 56.0),
        ({"ratelimit": '"api";r=12;t=55'}, None),
        ({"ratelimit": '"api";t=55;r=0'}, 56.0),
        ({"ratelimit": '"minute";r=0;t=20, "day";r=7;t=3000'}, 21.0),
        ({"ratelimit": '"minute";r=0, "day";r=7;t=3000'}, None),
        ({"ratelimit": '"minute";r=0;t=20, "day";r=0;t=3000'}, 3001.0),
        ({"ratelimit": '"r=0;t=9";r=3;t=20'}, None),
        ({"ratelimit": '"api";r=0;t=?1'}, None),
        ({"ratelimit": '"api;r=0'}, None),
        ({"ratelimit": '"api";r=0;t=30;'}, 31.0),  # the rest are no structured fields
        ({"ratelimit": '"api" ;r=0;t=30'}, 31.0),
        ({"ratelimit": "r=0;t=30"}, 31.0),
        ({"ratelimit": '"api";r=0;t=29.5'}, 30.0),
        ({}, None),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], wait: float | None) -> None:
    assert announced_wait_s(answer(**headers)) == wait


def test_a_date_counts_as_well() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert announced_wait_s(answer(retry_after=later)) == pytest.approx(30, abs=2)
    assert announced_wait_s(answer(retry_after="Wed, 21 Oct 2015 07:28:00 GMT")) == 0


def test_one_answer_holds_back_all_requests_to_that_host_only() -> None:
    time = Time()
    budgets = HostBudgets(clock=time.clock, sleep=time.sleep)
    budgets.take("a")
    budgets.learn("a", answer(retry_after="9"))
    budgets.take("b")
    assert time.slept == []
    budgets.take("a")
    assert time.slept == [9.0]
    assert budgets.state("a").waited_s == 9.0


def test_an_empty_window_is_waited_out_before_the_429() -> None:
    time = Time()
    budgets = HostBudgets(clock=time.clock, sleep=time.sleep)
    budgets.learn(
        "hub",
        answer(ratelimit='"api";r=0;t=20', ratelimit_policy='"fixed window";"api";q=500;w=300'),
    )
    budgets.take("hub")
    assert time.slept == [21.0]
    assert (budgets.state("hub").remaining, budgets.state("hub").window_s) == (0, 300)


def test_the_limit_with_least_left_counts() -> None:
    budgets = HostBudgets()
    budgets.learn("hub", answer(ratelimit='"day";r=900;t=3000, "minute";r=4;t=20'))
    assert budgets.state("hub").remaining == 4


def test_workers_queue_at_the_interval() -> None:
    time = Time()
    budgets = HostBudgets(interval_s=2.0, clock=time.clock, sleep=lambda _: None)
    for _ in range(3):
        budgets.take("hub")
    assert budgets.state("hub").waited_s == 2.0 + 4.0
    assert budgets.state("hub").requests == 3


def test_many_threads_stay_within_the_interval() -> None:
    import time

    budgets = HostBudgets(interval_s=0.01)
    moments: list[float] = []

    def work() -> None:
        for _ in range(5):
            budgets.take("hub")
            moments.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(moments) - min(moments) >= 0.01 * 19 * 0.9
    assert budgets.state("hub").requests == 20
