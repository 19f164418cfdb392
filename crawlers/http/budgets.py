"""Rate limits of hosts, learned from their answers and shared by all workers.

Headers: Retry-After (RFC 9110, 10.2.3); RateLimit, a structured field (RFC 9651) with one item for
each limit (IETF draft-ietf-httpapi-ratelimit-headers: `"api";r=0;t=55`); RateLimit-Policy;
X-RateLimit-Remaining and X-RateLimit-Reset (GitHub, which also limits by 403); `retry_after` in a
body (CivArchive).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

import http_sf
import httpx

# GitHub's window of one hour is the longest of all hubs.
LONGEST_WAIT_S = 3_600.0
# This machine's own servers need no pause between requests.
_OWN = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class HostState:
    """The requests to one host so far.

    Attributes:
        requests: the number of requests sent.
        waited_s: the time spent waiting for the host's budget.
        remaining, window_s: the host's last statement about its budget, None without one.
    """

    requests: int
    waited_s: float
    remaining: int | None
    window_s: int | None


class HostBudgets:
    """Paces the requests to each host by the host's own limits.

    Args:
        interval_s: the least time between two requests to one host; 0 for none.
        spare_own: apply no interval to this machine's own servers.
        clock, sleep: replaceable for tests.
    """

    def __init__(
        self,
        interval_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        spare_own: bool = False,
    ) -> None:
        self._interval_s, self._spare_own = interval_s, spare_own
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._states: dict[str, HostState] = {}

    def take(self, host: str) -> None:
        """Wait until the host may be requested again, and count the request."""
        with self._lock:
            now = self._clock()
            at = max(now, self._not_before.get(host, now))
            # The next worker queues behind this request.
            exempt = host in _OWN and self._spare_own
            self._not_before[host] = at + (0.0 if exempt else self._interval_s)
            state = self._states.get(host, HostState(0, 0.0, None, None))
            self._states[host] = HostState(
                state.requests + 1, state.waited_s + at - now, state.remaining, state.window_s
            )
        if at > now:
            self._sleep(at - now)

    def learn(self, host: str, response: httpx.Response) -> None:
        """Record what an answer says about the host's budget."""
        wait_s = announced_wait_s(response)
        remaining = min((limit.remaining for limit in _limits_in(response)), default=None)
        if remaining is None:
            remaining = _number(r"^(\d+)$", response.headers.get("x-ratelimit-remaining"))
        # The Hugging Face Hub's `"fixed window";"api";q=500;w=300` is not a structured field.
        window = _number(r"\bw=(\d+)", response.headers.get("ratelimit-policy"))
        with self._lock:
            if wait_s is not None:
                self._not_before[host] = max(
                    self._not_before.get(host, 0.0), self._clock() + wait_s
                )
            state = self._states.get(host, HostState(0, 0.0, None, None))
            self._states[host] = HostState(
                state.requests,
                state.waited_s,
                state.remaining if remaining is None else remaining,
                state.window_s if window is None else window,
            )

    def hold_back(self, host: str, wait_s: float) -> None:
        """Send no request to a host for this long."""
        with self._lock:
            self._not_before[host] = max(self._not_before.get(host, 0.0), self._clock() + wait_s)

    def state(self, host: str) -> HostState:
        """The requests to a host so far, for progress bars."""
        with self._lock:
            return self._states.get(host, HostState(0, 0.0, None, None))


def announced_wait_s(response: httpx.Response, body: str = "") -> float | None:
    """The seconds that the server asks to wait, None if it says nothing.

    Args:
        body: the beginning of the answer's body.
    """
    headers = response.headers
    retry_after = headers.get("retry-after", "").strip()
    if retry_after.isdigit():
        return min(float(retry_after), LONGEST_WAIT_S)
    if retry_after:
        return _until(retry_after)
    used_up = [limit for limit in _limits_in(response) if limit.remaining == 0]
    resets = [limit.reset_s for limit in used_up if limit.reset_s is not None]
    if resets:
        return min(float(max(resets)) + 1, LONGEST_WAIT_S)
    if (
        headers.get("x-ratelimit-remaining") == "0"
        and headers.get("x-ratelimit-reset", "").isdigit()
    ):
        return min(max(float(headers["x-ratelimit-reset"]) - time.time() + 1, 0.0), LONGEST_WAIT_S)
    announced = re.search(r'"retry_after"\s*:\s*"?(\d+(?:\.\d+)?)', body)
    return min(float(announced[1]), LONGEST_WAIT_S) if announced else None


def is_rate_limited(response: httpx.Response) -> bool:
    """Whether a 403 means too many requests instead of a refusal."""
    headers = response.headers
    return response.status_code == 403 and (
        "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    """One item of a RateLimit header.

    Attributes:
        remaining: requests left.
        reset_s: seconds until there are more; None if the item does not say.
    """

    remaining: int
    reset_s: int | None


def _limits_in(response: httpx.Response) -> list[_Limit]:
    """The limits in an answer's RateLimit header; none if it is missing.

    Of a header that is no structured field (RFC 9651), the first `r` and `t` count.
    """
    header = response.headers.get("ratelimit", "")
    try:
        items = http_sf.parse(header.encode(), tltype="list")
    except ValueError:
        remaining = _number(r"\br=(\d+)", header)
        return [] if remaining is None else [_Limit(remaining, _number(r"\bt=(\d+)", header))]
    limits = []
    for item in items if isinstance(items, list) else []:
        parameters = item[1] if isinstance(item, tuple) else {}
        remaining, reset_s = _count(parameters.get("r")), _seconds(parameters.get("t"))
        if remaining is not None:
            limits.append(_Limit(remaining, reset_s))
    return limits


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _seconds(value: object) -> int | None:
    """Whole seconds; some servers write a decimal."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return int(value) if value >= 0 else None


def _number(pattern: str, text: str | None) -> int | None:
    found = re.search(pattern, text or "")
    return int(found[1]) if found else None


def _until(date: str) -> float | None:
    try:
        wait_s = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
