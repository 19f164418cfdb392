"""Counts of the results of a month, which are not read again for each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from scanner.casework.exports import MonthOfResults

# Counting an archive of 400,000 files takes seconds: it may take one second in a hundred.
_SHORTEST_S = 0.2
_KEPT_FOR = 100.0


@dataclass(frozen=True, slots=True)
class _Counted:
    results: MonthOfResults
    at: float
    seconds: float


class MonthResults:
    """Remembers what took long to count for a hundred times as long; threads share it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counted: dict[str, _Counted] = {}
        self._lock = threading.Lock()

    def of(self, month: str, count: Callable[[str], MonthOfResults]) -> MonthOfResults:
        """Return the counts of a month, as YYYY-MM."""
        with self._lock:
            began, known = self._monotonic(), self._counted.get(month)
            if known is not None and began - known.at < _KEPT_FOR * known.seconds:
                return known.results
            results = count(month)
            ended = self._monotonic()
            self._counted.pop(month, None)
            if ended - began > _SHORTEST_S:
                self._counted[month] = _Counted(results, ended, ended - began)
            return results
