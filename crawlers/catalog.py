"""The hubs that are built in, by name, and how a scan target is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from crawlers.civitai import DEFAULT_HOST, CivitaiHub
from crawlers.errors import HubError, UnknownHub
from crawlers.folder import FolderHub
from crawlers.listing import Hub, Listing, RemoteFile, bare_listing
from crawlers.transport import Transport

REMOTE_HUBS: dict[str, tuple[Callable[[Transport, str], Hub], str]] = {"civitai": (CivitaiHub, DEFAULT_HOST)}


class SingleUrl:
    """A hub of one checkpoint, the one behind a URL."""

    name = "url"

    def __init__(self, url: str) -> None:
        self._url = url

    def listings(self) -> Iterator[Listing]:
        file = RemoteFile(unquote(urlsplit(self._url).path.rsplit("/", 1)[-1]) or "checkpoint", self._url)
        yield bare_listing(self.name, self._url, file.name, self._url, file)


def hub_for(target: str, transport: Transport) -> Hub:
    """The hub behind a scan target: a path, a checkpoint's URL, `civitai`, or `civitai=https://host`.

    Raises:
        UnknownHub: neither a path that exists, nor a URL, nor a hub's name.
    """
    if target.startswith(("http://", "https://")):
        return SingleUrl(target)
    if Path(target).exists():
        return FolderHub(Path(target))
    name, _, host = target.partition("=")
    if name not in REMOTE_HUBS:
        raise UnknownHub(target, sorted(REMOTE_HUBS))
    build, default_host = REMOTE_HUBS[name]
    if host and not host.startswith(("http://", "https://")):
        raise HubError(f"{host!r} is not a hub address; write {name}=https://host")
    return build(transport, host or default_host)
