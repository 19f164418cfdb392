"""Polite HTTP: one client with timeouts, retries that heed the server, and no secrets sent astray."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import stamina

from crawlers.budgets import HostBudgets, announced_wait_s
from crawlers.destinations import Destinations, JudgedConnections
from crawlers.errors import HubRefused, HubUnreachable

# Hubs switch their errors from JSON to login pages when the agent looks like a browser.
USER_AGENT = "portrait-scanner/0.1 (+https://pypi.org/project/portrait-scanner/)"
MOST_ANSWER_BYTES = 64_000_000
# The token is Civitai's; a hub of that kind at another address is added when it is opened.
TOKEN_HOSTS = frozenset({"civitai.com", "civitai.red"})
Answer = TypeVar("Answer")
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
        self._token, self._token_hosts = token, set(TOKEN_HOSTS)
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

    def send_token_to(self, url: str) -> None:
        """Let the token go to a hub at another address; it goes to no other host."""
        self._token_hosts.add(httpx.URL(url).host)

    def get(self, url: str, params: dict[str, Any] | None = None) -> httpx.Response:
        """GET with retries, the body read whole.

        Raises:
            HubRefused: an answer of 400 or more that retrying will not change, or of more than MOST_ANSWER_BYTES.
            HubUnreachable: no usable answer after all attempts.
        """
        return self._retried(url, lambda: self._try(url, params, {}, whole=True))

    def get_json(self, url: str, params: dict[str, Any] | None = None) -> Any:
        """Like `get`, parsed; a page of HTML in place of JSON is a passing fault, as on overloaded hubs."""
        return self.get_document(url, params)[0]

    def get_document(self, url: str, params: dict[str, Any] | None = None) -> tuple[Any, httpx.Headers]:
        """Like `get_json`, with the answer's headers."""

        def attempt() -> tuple[Any, httpx.Headers]:
            response = self._try(url, params, {}, whole=True)
            try:
                return json.loads(response.content), response.headers
            except ValueError as error:
                kind = response.headers.get("content-type", "unknown content")
                raise _TryAgain(None, f"the server did not answer with JSON but with {kind[:40]}") from error

        return self._retried(url, attempt)

    @contextmanager
    def stream(
        self, url: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Like `get`, but the body is left for the caller to read."""
        response = self._retried(url, lambda: self._try(url, params, headers or {}, whole=False))
        try:
            yield response
        except httpx.TransportError as error:
            raise HubUnreachable(f"{url}: the connection broke: {error or type(error).__name__}") from error
        finally:
            response.close()

    def _retried(self, url: str, work: Callable[[], Answer]) -> Answer:
        try:
            for attempt in stamina.retry_context(
                on=_worth_retrying, attempts=self._attempts, timeout=None, wait_initial=1.0, wait_max=30.0
            ):
                with attempt:
                    return work()
        except _TryAgain as error:
            raise HubUnreachable(f"{url}: {error} after {self._attempts} attempts; try again later") from error
        raise AssertionError("stamina neither returned nor raised")

    def _try(self, url: str, params: dict[str, Any] | None, headers: dict[str, str], *, whole: bool) -> httpx.Response:
        try:
            request = self._client.build_request("GET", url, params=params, headers=headers)
            if self._token and request.url.host in self._token_hosts:
                request.headers["Authorization"] = f"Bearer {self._token}"
            self.budgets.take(request.url.host)
            response = self._client.send(request, stream=True)
            self.budgets.learn(request.url.host, response)
            if whole and response.status_code < 400:
                _read(response)
        except httpx.TransportError as error:
            raise _TryAgain(None, f"no answer ({error or type(error).__name__})") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise HubRefused(url, 0, str(error)) from error
        if response.status_code in RETRIED_STATUSES:
            response.close()
            raise _TryAgain(response, f"the server answered {response.status_code}")
        if response.status_code >= 400:
            message = _beginning(response)
            response.close()
            raise HubRefused(url, response.status_code, message)
        return response


def _read(response: httpx.Response) -> None:
    """Read a body whole, within the limit; closes the response."""
    data = bytearray()
    try:
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MOST_ANSWER_BYTES:
                raise HubRefused(str(response.url), response.status_code, f"more than {MOST_ANSWER_BYTES:,} bytes")
    finally:
        response.close()
    response._content = bytes(data)  # noqa: SLF001  what httpx's own read() sets, without its lack of a limit


def _beginning(response: httpx.Response) -> str:
    try:
        return next(response.iter_bytes(300), b"").decode(errors="replace")
    except httpx.TransportError:
        return ""
