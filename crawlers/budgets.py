"""How often a host may be asked: what it says in RateLimit and Retry-After headers, shared by all workers.

Headers: Retry-After (RFC 9110, 10.2.3); RateLimit and RateLimit-Policy (IETF draft-ietf-httpapi-ratelimit-headers,
as the Hugging Face Hub sends them: `"api";r=0;t=55` and `"fixed window";"api";q=500;w=300`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

LONGEST_WAIT_S = 300.0


@dataclass(frozen=True, slots=True)
class HostState:
    """What is known of one host.

    Attributes:
        requests: sent so far.
        waited_s: time spent waiting for its budget.
        remaining, window_s: as it last said, None if it does not say.
    """

    requests: int
    waited_s: float
    remaining: int | None
    window_s: int | None


class HostBudgets:
    """Lets requests through one host at a time as fast as the host agrees to.

    Args:
        interval_s: least time between two requests to one host; 0 for none.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        interval_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_s, self._clock, self._sleep = interval_s, clock, sleep
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._states: dict[str, HostState] = {}

    def take(self, host: str) -> None:
        """Wait until the host may be asked again, and count the request."""
        with self._lock:
            now = self._clock()
            at = max(now, self._not_before.get(host, now))
            # The next worker queues behind this one.
            self._not_before[host] = at + self._interval_s
            state = self._states.get(host, HostState(0, 0.0, None, None))
            self._states[host] = HostState(
                state.requests + 1, state.waited_s + at - now, state.remaining, state.window_s
            )
        if at > now:
            self._sleep(at - now)

    def learn(self, host: str, response: httpx.Response) -> None:
        """Note what an answer says about the host's budget."""
        wait_s = announced_wait_s(response)
        remaining = re.search(r"\br=(\d+)", response.headers.get("ratelimit", ""))
        window = re.search(r"\bw=(\d+)", response.headers.get("ratelimit-policy", ""))
        with self._lock:
            if wait_s is not None:
                self._not_before[host] = max(self._not_before.get(host, 0.0), self._clock() + wait_s)
            state = self._states.get(host, HostState(0, 0.0, None, None))
            self._states[host] = HostState(
                state.requests,
                state.waited_s,
                int(remaining[1]) if remaining else state.remaining,
                int(window[1]) if window else state.window_s,
            )

    def state(self, host: str) -> HostState:
        """What is known of a host, for progress bars."""
        with self._lock:
            return self._states.get(host, HostState(0, 0.0, None, None))


def announced_wait_s(response: httpx.Response) -> float | None:
    """Seconds the server asks us to wait: Retry-After in either form, or the `t` of an empty RateLimit."""
    retry_after = response.headers.get("retry-after", "").strip()
    if retry_after.isdigit():
        return min(float(retry_after), LONGEST_WAIT_S)
    if retry_after:
        return _until(retry_after)
    limit = re.search(r"\br=0\b.*?\bt=(\d+)", response.headers.get("ratelimit", ""))
    return min(float(limit[1]) + 1, LONGEST_WAIT_S) if limit else None


def _until(date: str) -> float | None:
    try:
        wait_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
