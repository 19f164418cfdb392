"""robots.txt (RFC 9309) of hosts outside the hubs' published interfaces, such as mirrors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx
from protego import Protego

from crawlers.errors import HubUnreachable, RobotsDisallow
from crawlers.http.destinations import shown

KEPT_S = 24 * 3600.0
MOST_BYTES = 512 * 1024


class Robots:
    """The robots.txt files of hosts, each read once a day.

    Args:
        fetch: requests an address; may raise the exceptions of httpx.
    """

    def __init__(
        self,
        fetch: Callable[[str], httpx.Response],
        user_agent: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._user_agent, self._clock = fetch, user_agent, clock
        self._exempt: set[str] = set()
        self._rules: dict[str, tuple[float, Protego]] = {}
        self._lock = threading.Lock()

    def exempt(self, host: str) -> None:
        """Do not consult the robots.txt of this host."""
        self._exempt.add(host.lower())

    def must_allow(self, url: httpx.URL) -> None:
        """Raise unless the host allows robots to fetch this URL.

        Raises:
            RobotsDisallow: the host does not allow it.
            HubUnreachable: robots.txt cannot be read now, which counts as a refusal (RFC 9309,
                2.3.1.4).
        """
        if url.host.lower() in self._exempt:
            return
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        with self._lock:
            read_at, rules = self._rules.get(origin, (float("-inf"), None))
            if rules is None or self._clock() - read_at > KEPT_S:
                rules = self._read(origin)
                self._rules[origin] = (self._clock(), rules)
        if not rules.can_fetch(str(url), self._user_agent):
            raise RobotsDisallow(shown(str(url)))

    def _read(self, origin: str) -> Protego:
        try:
            response = self._fetch(f"{origin}/robots.txt")
        except httpx.HTTPError as error:
            raise HubUnreachable(
                f"{origin}/robots.txt: no answer ({error or type(error).__name__})"
            ) from error
        if response.status_code >= 500:
            raise HubUnreachable(
                f"{origin}/robots.txt answered {response.status_code}; try again later"
            )
        text = (
            response.content[:MOST_BYTES].decode(errors="replace")
            if response.status_code == 200
            else ""
        )
        return Protego.parse(text)
