"""The HTTP client: timeouts, retries that follow the server's limits, and tokens per host."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import stamina

from crawlers.errors import HubError, HubRefused, HubUnreachable
from crawlers.http.budgets import HostBudgets, announced_wait_s, is_rate_limited
from crawlers.http.destinations import CheckedConnections, Destinations, shown
from crawlers.http.robots import Robots
from crawlers.values import mended

# Hubs answer with login pages instead of JSON errors when the agent looks like a browser.
USER_AGENT = "portrait-scanner/0.1 (+https://pypi.org/project/portrait-scanner/)"
MOST_ANSWER_BYTES = 64_000_000
LONGEST_ANSWER_S = 180.0
MOST_REDIRECTS = 5
Answer = TypeVar("Answer")
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class _TryAgain(Exception):
    def __init__(self, wait_s: float | None, cause: str) -> None:
        super().__init__(cause)
        self.wait_s = wait_s


def _worth_retrying(error: Exception) -> bool | float:
    if not isinstance(error, _TryAgain):
        return False
    return True if error.wait_s is None else error.wait_s


def _judged(destinations: Destinations) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport(
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=32)
    )
    # httpx has no parameter for the backend; httpcore, whose pool this is, has one.
    transport._pool._network_backend = CheckedConnections(destinations)  # noqa: SLF001
    return transport


class Transport:
    """The HTTP client of all hubs. Threads may share it.

    httpx drops the Authorization header when a redirect leaves the host. Hosts of signed downloads
    require that: R2 answers 400 otherwise.

    Args:
        tokens: tokens by host name; a token is sent to that host only.
        attempts: the number of attempts of each request, the first one included.
        timeout_s: the longest time without receiving a byte.
        user_agent: names the program and the page for complaints.
        obey_robots: consult the robots.txt of every host that is not exempt.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None = None,
        attempts: int = 6,
        timeout_s: float = 30.0,
        destinations: Destinations | None = None,
        budgets: HostBudgets | None = None,
        user_agent: str = USER_AGENT,
        obey_robots: bool = False,
    ) -> None:
        self.destinations = destinations or Destinations()
        self.budgets = budgets or HostBudgets()
        self._tokens = {host.lower(): token for host, token in (tokens or {}).items()}
        self._client = httpx.Client(
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            transport=_judged(self.destinations),
            # httpx calls the hook for every hop of a redirect as well.
            event_hooks={"request": [lambda request: self.destinations.must_allow(request.url)]},
        )
        self._attempts = attempts
        self.robots = Robots(self._robots_txt, user_agent) if obey_robots else None
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self._client.close()

    def send_token_to(self, url: str, token: str | None) -> None:
        """Send the token to the host of this URL and to no other; raises HubError if invalid."""
        if token and not (token := token.strip()).isprintable():
            raise HubError(
                f"the token for {shown(url)} holds signs that no token has; set it again"
            )
        if token:
            self._tokens[httpx.URL(url).host] = token

    def exempt_from_robots(self, url: str) -> None:
        """Do not consult the robots.txt of this host.

        For interfaces that are published for programs, and for hosts that the operator named.
        """
        if self.robots is not None:
            self.robots.exempt(httpx.URL(url).host)

    def get(self, url: str, params: dict[str, Any] | None = None) -> httpx.Response:
        """GET with retries; the body is read whole.

        Raises:
            HubRefused: the status is 400 or more and retrying will not change it, or the body is
                larger than MOST_ANSWER_BYTES.
            HubUnreachable: no usable answer after all attempts.
        """
        return self._retried(url, lambda: self._try("GET", url, params, whole=True))

    def get_json(self, url: str, params: dict[str, Any] | None = None) -> Any:
        """Like `get`, with the body parsed.

        HTML instead of JSON is retried, because overloaded hubs answer so for a while.
        """
        return self.get_document(url, params)[0]

    def get_document(
        self, url: str, params: dict[str, Any] | None = None
    ) -> tuple[Any, httpx.Headers]:
        """Like `get_json`, and the answer's headers."""
        return self._retried(url, lambda: _parsed(self._try("GET", url, params, whole=True)))

    def post_json(self, url: str, document: Any, headers: Mapping[str, str] | None = None) -> Any:
        """POST a JSON document and parse the answer.

        Only for queries, which may be repeated without harm.
        """
        body = json.dumps(document).encode()
        more = {"Content-Type": "application/json", **(headers or {})}
        return self._retried(
            url, lambda: _parsed(self._try("POST", url, None, more, body, whole=True))
        )[0]

    def deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """POST a message and ignore the answer's body; raises as `get` does."""
        self._retried(url, lambda: self._try("POST", url, None, headers, body, whole=True))

    @contextmanager
    def stream(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """Like `get`, but the caller reads the body."""
        response = self._retried(url, lambda: self._try("GET", url, params, headers, whole=False))
        try:
            yield response
        except httpx.RequestError as error:
            # A body that contradicts its headers is treated like a broken connection.
            raise HubUnreachable(
                f"{shown(url)}: the connection broke: {error or type(error).__name__}"
            ) from error
        finally:
            response.close()

    def _retried(self, url: str, work: Callable[[], Answer]) -> Answer:
        try:
            for attempt in stamina.retry_context(
                on=_worth_retrying,
                attempts=self._attempts,
                timeout=None,
                wait_initial=1.0,
                wait_max=30.0,
            ):
                with attempt:
                    if self._closed.is_set():
                        raise HubUnreachable(f"{shown(url)}: the program is stopping")
                    return work()
        except _TryAgain as error:
            tried = f"{error} after {self._attempts} attempts"
            raise HubUnreachable(
                f"{shown(url)}: {tried}; look at network, name servers and proxy, "
                "or try again later"
            ) from error
        raise AssertionError("stamina neither returned nor raised")

    def _try(
        self,
        method: str,
        url: str,
        params: dict[str, Any] | None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        *,
        whole: bool,
    ) -> httpx.Response:
        try:
            request = self._client.build_request(
                method, url, params=params, headers=headers, content=content
            )
            self.destinations.must_allow(request.url)
            if self.robots is not None:
                self.robots.must_allow(request.url)
            if token := self._tokens.get(request.url.host):
                request.headers["Authorization"] = f"Bearer {token}"
            self.budgets.take(request.url.host)
            response = self._client.send(request, stream=True)
            self.budgets.learn(request.url.host, response)
            if whole and response.status_code < 400:
                _read(response)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _TryAgain(None, f"no answer ({error or type(error).__name__})") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise HubRefused(shown(url), 0, str(error)) from error
        if response.status_code < 400:
            return response
        message = _beginning(response)
        response.close()
        if response.status_code in RETRIED_STATUSES or is_rate_limited(response):
            wait_s = announced_wait_s(response, message)
            if wait_s is not None:
                self.budgets.hold_back(request.url.host, wait_s)
            raise _TryAgain(wait_s, f"the server answered {response.status_code}")
        raise HubRefused(shown(url), response.status_code, message)

    def _robots_txt(self, url: str) -> httpx.Response:
        response = self._client.send(self._client.build_request("GET", url), stream=True)
        _read(response)
        return response


def _read(response: httpx.Response) -> None:
    """Read a body whole within the limits of size and time, and close the response."""
    data, started = bytearray(), time.monotonic()
    try:
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MOST_ANSWER_BYTES:
                raise HubRefused(
                    shown(str(response.url)),
                    response.status_code,
                    f"more than {MOST_ANSWER_BYTES:,} bytes",
                )
            if time.monotonic() - started > LONGEST_ANSWER_S:
                raise _TryAgain(None, f"the answer took longer than {LONGEST_ANSWER_S:.0f} s")
    finally:
        response.close()
    # The attribute that httpx's own read() sets; read() has no limit.
    response._content = bytes(data)  # noqa: SLF001


def _parsed(response: httpx.Response) -> tuple[Any, httpx.Headers]:
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("content-type", "unknown content")
        raise _TryAgain(
            None, f"the server did not answer with JSON but with {kind[:40]}"
        ) from error
    return (mended(document) if b"\\ud" in response.content.lower() else document), response.headers


def _beginning(response: httpx.Response) -> str:
    try:
        return " ".join(next(response.iter_bytes(300), b"").decode(errors="replace").split())
    except httpx.RequestError:
        return ""
