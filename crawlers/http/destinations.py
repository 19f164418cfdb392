"""The addresses to which requests may go: the public internet and what the operator allowed.

Hubs, redirects and listings name addresses that strangers chose. A name is resolved once, every
address it has is checked, and the connection goes to a checked address. So a name that changes
between check and use gains nothing (OWASP SSRF Prevention Cheat Sheet; RFC 6890 lists the special
ranges). With an HTTP proxy of the operator, the proxy resolves names and must check them itself.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpcore
import httpx

from crawlers.errors import DestinationRefused, HubError

Resolve = Callable[[str, int], list[str]]
# Public by its number, but the metadata service of every machine in that cloud (Azure).
_METADATA = frozenset({ip_address("168.63.129.16")})
_NAT64 = IPv6Network("64:ff9b::/96")
_LONGEST_URL = 8_192
_WITH_CREDENTIALS = re.compile(r"(?:[\w-]+=)?[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)
# Hubs that read places of the operator's own.
OWN_PLACES = frozenset({"folder", "storage"})


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, resolved by the operating system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Destinations:
    """Checks URLs and addresses.

    Args:
        allowed: hosts, or host:port, that are allowed although they are not public.
        resolve: the function that resolves names to addresses.
    """

    def __init__(self, allowed: Iterable[str] = (), resolve: Resolve = resolve) -> None:
        self._allowed = {host.lower() for host in allowed}
        self._resolve = resolve

    def allow(self, url: str) -> None:
        """Allow the host and port of a URL, whatever its address."""
        parts = httpx.URL(url)
        self._allowed.add(f"{parts.host.lower()}:{_port_of(parts)}")

    def must_allow(self, url: httpx.URL) -> None:
        """Raise DestinationRefused for a URL that no hub has a reason to name."""
        if url.scheme not in ("http", "https"):
            raise DestinationRefused(
                str(url), f"only http and https are fetched, not {url.scheme or 'no scheme'!r}"
            )
        if url.userinfo:
            raise DestinationRefused(
                f"{url.scheme}://...@{url.host}", "an address with a user name or password in it"
            )
        if not url.host:
            raise DestinationRefused(str(url), "an address without a host")
        if len(str(url)) > _LONGEST_URL:
            raise DestinationRefused(
                str(url)[:80] + "...", f"longer than {_LONGEST_URL} characters"
            )

    def addresses_of(self, host: str, port: int) -> list[str]:
        """The addresses to which a connection may be made.

        Raises:
            DestinationRefused: one of them is not public, and the host is not allowed.
            httpcore.ConnectError: the name has no address.
        """
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address ({error})") from error
        if host.lower() in self._allowed or f"{host.lower()}:{port}" in self._allowed:
            return found
        for address in found:
            problem = objection_to(address)
            # One private address among public ones is an attack, not an accident.
            if problem:
                advice = (
                    "; if that host is yours, put it into allowed_hosts in portrait-scanner.toml"
                )
                raise DestinationRefused(f"{host}:{port}", f"{address} is {problem}{advice}")
        return found


def objection_to(address: str) -> str | None:
    """Why an address is not part of the public internet, None if it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "no IP address"
    inner = _embedded(parsed)
    if inner is not None:
        return objection_to(str(inner))
    if parsed in _METADATA:
        return "a cloud's metadata service"
    for kind in ("loopback", "link_local", "multicast", "unspecified", "reserved"):
        if getattr(parsed, f"is_{kind}"):
            return f"a {kind.replace('_', '-')} address"
    return None if parsed.is_global else "a private address"


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return (
        address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    )


def refuse_credentials(target: str) -> None:
    """Raise HubError for an address with credentials, before it is stored or shown anywhere."""
    if _WITH_CREDENTIALS.match(target):
        raise HubError(
            "an address with a name or password in it is not opened, since addresses are kept and "
            "shown; give hub tokens as docs/crawling.md says, or fetch the file with a tool of "
            "yours"
        )


def is_address(text: str) -> bool:
    """Whether a text is an http(s) URL with a host."""
    try:
        url = httpx.URL(text)
        urlsplit(text)  # refuses an unbalanced bracket, which httpx accepts
    except (httpx.InvalidURL, ValueError):
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def must_be_remote(hub: str, place: str) -> None:
    """Raise DestinationRefused if a remote hub names a local file or the operator's storage."""
    if hub not in OWN_PLACES and not place.startswith(("http://", "https://")):
        raise DestinationRefused(
            shown(place)[:200], f"{hub} named it, and only http and https are fetched from there"
        )


_SECRETS = re.compile(
    r"([?&](?:token|key|auth_key|signature|sig|x-amz-[\w-]+|policy|expires|credential)=)[^&#]*",
    re.IGNORECASE,
)


def shown(url: str) -> str:
    """A URL for messages and reports: without user names, tokens and signatures."""
    return _SECRETS.sub(r"\1...", re.sub(r"^(\w+://)[^/@?#]*@", r"\1...@", url))


def _port_of(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


class CheckedConnections(httpcore.NetworkBackend):
    """Opens connections only to addresses that `Destinations` allows.

    TLS still verifies the certificate against the host's name.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception | None = None
        for address in self._destinations.addresses_of(host, port):
            try:
                return self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)
