"""The hubs that are built in, by name, and how a scan target is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from crawlers import civitai, github, huggingface, modelscope
from crawlers.civitai import CivitaiHub
from crawlers.errors import HubError, HubRefused, UnknownHub
from crawlers.folder import FolderHub
from crawlers.github import GitHubHub
from crawlers.huggingface import HuggingFaceHub
from crawlers.imported import ImportedHub
from crawlers.listing import Hub, Page, Presence, RemoteFile, bare_listing, presence_of_status
from crawlers.modelscope import ModelScopeHub
from crawlers.transport import Transport

REMOTE_HUBS: dict[str, tuple[Callable[[Transport, str], Hub], str]] = {
    "civitai": (CivitaiHub, civitai.DEFAULT_HOST),
    "huggingface": (HuggingFaceHub, huggingface.DEFAULT_HOST),
    "modelscope": (ModelScopeHub, modelscope.DEFAULT_HOST),
    "github": (GitHubHub, github.DEFAULT_HOST),
}


EXPORTS = (".csv", ".json", ".jsonl")


class SingleUrl:
    """A hub of one checkpoint, the one behind a URL."""

    name = "url"

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    def pages(self, cursor: str | None = None) -> Iterator[Page]:  # noqa: ARG002  there is but one
        file = RemoteFile(unquote(urlsplit(self._url).path.rsplit("/", 1)[-1]) or "checkpoint", self._url)
        yield Page((bare_listing(self.name, self._url, file.name, self._url, file),), None)

    def look(self, listing_id: str) -> Presence:
        try:
            with self._transport.stream(listing_id, headers={"Range": "bytes=0-0"}):
                return Presence.LISTED
        except HubRefused as error:
            return presence_of_status(error)


def hub_for(target: str, transport: Transport) -> Hub:
    """The hub behind a scan target: a path, a checkpoint's URL, `civitai`, `civitai=https://host`, or an exported list as `liblib=listing.csv`.

    Raises:
        UnknownHub: neither a path that exists, nor a URL, nor a hub's name.
    """
    if target.startswith(("http://", "https://")):
        return SingleUrl(transport, target)
    if Path(target).exists():
        return FolderHub(Path(target))
    name, _, host = target.partition("=")
    if Path(host).suffix.lower() in EXPORTS and Path(host).is_file():
        return ImportedHub(Path(host), name)
    if name not in REMOTE_HUBS:
        raise UnknownHub(target, sorted(REMOTE_HUBS))
    build, default_host = REMOTE_HUBS[name]
    if host and not host.startswith(("http://", "https://")):
        raise HubError(f"{host!r} is not a hub address; write {name}=https://host")
    return build(transport, host or default_host)
