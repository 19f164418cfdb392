"""Counts of a month are remembered if they took long."""

from __future__ import annotations

from scanner.casework.exports import MonthOfResults
from scanner.web.month_results import MonthResults


class Counting:
    """Counts for some seconds of its own clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.times = seconds, 0.0, 0

    def monotonic(self) -> float:
        return self.now

    def __call__(self, month: str) -> MonthOfResults:
        self.now += self.seconds
        self.times += 1
        return MonthOfResults(self.times, {}, 0)


def test_what_is_quickly_counted_is_counted_each_time() -> None:
    counting = Counting(0.01)
    results = MonthResults(counting.monotonic)
    assert [results.of("2026-11", counting).files for _ in range(3)] == [1, 2, 3]


def test_what_takes_long_is_counted_for_one_second_in_a_hundred() -> None:
    counting = Counting(6.0)
    results = MonthResults(counting.monotonic)
    assert [results.of("2026-11", counting).files for _ in range(3)] == [1, 1, 1]
    counting.now += 599.0
    assert results.of("2026-11", counting).files == 1
    assert results.of("2026-10", counting).files == 2
    counting.now += 2.0
    assert results.of("2026-11", counting).files == 3
