"""Polite HTTP: one client with timeouts, retries that heed the server, and no secrets sent astray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import stamina

from crawlers.budgets import HostBudgets, announced_wait_s
from crawlers.destinations import Destinations, JudgedConnections
from crawlers.errors import HubRefused, HubUnreachable

# Hubs switch their errors from JSON to login pages when the agent looks like a browser.
USER_AGENT = "portrait-scanner/0.1 (+https://pypi.org/project/portrait-scanner/)"
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class _TryAgain(Exception):
    def __init__(self, response: httpx.Response | None, cause: str) -> None:
        super().__init__(cause)
        self.response = response


def _worth_retrying(error: Exception) -> bool | float:
    if not isinstance(error, _TryAgain):
        return False
    wait_s = announced_wait_s(error.response) if error.response is not None else None
    return True if wait_s is None else wait_s


def _judged(destinations: Destinations) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport()
    # httpx has no argument for it; httpcore, whose pool this is, does.
    transport._pool._network_backend = JudgedConnections(destinations)  # noqa: SLF001
    return transport


class Transport:
    """The HTTP client of all hubs.

    httpx drops the Authorization header when a redirect leaves the host, which signed download
    hosts require; see the hub notes on R2 answering 400 otherwise.
    """

    def __init__(
        self,
        token: str | None = None,
        attempts: int = 6,
        timeout_s: float = 30.0,
        destinations: Destinations | None = None,
        budgets: HostBudgets | None = None,
    ) -> None:
        self.destinations = destinations or Destinations()
        self.budgets = budgets or HostBudgets()
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            headers=headers,
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=5,
            transport=_judged(self.destinations),
            # Called for every hop of a redirect as well.
            event_hooks={"request": [lambda request: self.destinations.must_allow(request.url)]},
        )
        self._attempts = attempts

    def close(self) -> None:
        self._client.close()

    def get(self, url: str, params: dict[str, Any] | None = None) -> httpx.Response:
        """GET with retries.

        Raises:
            HubRefused: an answer of 400 or more that retrying will not change.
            HubUnreachable: no usable answer after all attempts.
        """
        with self.stream(url, params=params) as response:
            response.read()
            return response

    @contextmanager
    def stream(
        self, url: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Like `get`, but the body is left for the caller to read."""
        response = self._open(url, params, headers or {})
        try:
            yield response
        except httpx.TransportError as error:
            raise HubUnreachable(f"{url}: the connection broke: {error or type(error).__name__}") from error
        finally:
            response.close()

    def _open(self, url: str, params: dict[str, Any] | None, headers: dict[str, str]) -> httpx.Response:
        try:
            for attempt in stamina.retry_context(
                on=_worth_retrying, attempts=self._attempts, timeout=None, wait_initial=1.0, wait_max=30.0
            ):
                with attempt:
                    return self._try(url, params, headers)
        except _TryAgain as error:
            raise HubUnreachable(f"{url}: {error} after {self._attempts} attempts; try again later") from error
        raise AssertionError("stamina neither returned nor raised")

    def _try(self, url: str, params: dict[str, Any] | None, headers: dict[str, str]) -> httpx.Response:
        try:
            request = self._client.build_request("GET", url, params=params, headers=headers)
            self.budgets.take(request.url.host)
            response = self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise _TryAgain(None, f"no answer ({error or type(error).__name__})") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise HubRefused(url, 0, str(error)) from error
        self.budgets.learn(request.url.host, response)
        if response.status_code in RETRIED_STATUSES:
            response.close()
            raise _TryAgain(response, f"the server answered {response.status_code}")
        if response.status_code >= 400:
            message = response.read()[:300].decode(errors="replace")
            response.close()
            raise HubRefused(url, response.status_code, message)
        return response
