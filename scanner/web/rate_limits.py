"""Limits on how often something may be asked for, counted in the memory of the web process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from scanner.web.errors import TooManyRequests


class RateLimiter:
    """Counts requests per key over a moving window of one minute."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, per_minute: int, *key: str) -> None:
        """Count a request; raises TooManyRequests."""
        limit = RateLimitItemPerMinute(per_minute)
        if not self._limiter.hit(limit, *key):
            reset = self._limiter.get_window_stats(limit, *key).reset_time
            raise TooManyRequests(int(reset - self._clock().timestamp()) + 1)
