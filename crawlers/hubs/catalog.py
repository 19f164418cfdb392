"""The hubs that are built in, by name, and how a target is told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from crawlers.errors import HubError, HubRefused, UnknownHub
from crawlers.http.destinations import OWN_PLACES, is_address, refuse_credentials
from crawlers.http.transport import Transport
from crawlers.hubs import civarchive, civitai, github, huggingface, modelscope
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.folder import FolderHub
from crawlers.hubs.github import GitHubHub
from crawlers.hubs.huggingface import HuggingFaceHub
from crawlers.hubs.imported import ImportedHub
from crawlers.hubs.modelscope import ModelScopeHub
from crawlers.hubs.storage import StorageHub, is_storage
from crawlers.listing import (
    Hub,
    OneStrand,
    Page,
    Presence,
    RemoteFile,
    Strand,
    bare_listing,
    presence_of_status,
)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A hub that is known by name.

    Attributes:
        build: from transport, address and narrowing words; None for CivArchive, which is only asked by hash.
        hosts: where its published interface lies; the first is the address it is opened at.
        types: what `--type` takes there.
    """

    build: Any
    hosts: tuple[str, ...]
    types: str

    @property
    def address(self) -> str:
        return self.hosts[0]


REMOTE_HUBS: dict[str, BuiltIn] = {
    "civitai": BuiltIn(CivitaiHub, (civitai.DEFAULT_HOST, "https://civitai.red"), "LORA, LoCon, DoRA, TextualInversion, Checkpoint"),
    "huggingface": BuiltIn(HuggingFaceHub, (huggingface.DEFAULT_HOST,), "a tag: lora, textual_inversion"),
    "modelscope": BuiltIn(ModelScopeHub, (modelscope.DEFAULT_HOST, "https://modelscope.ai"), "words to search"),
    "github": BuiltIn(GitHubHub, (github.DEFAULT_HOST, "https://github.com"), "a repository search"),
    "civarchive": BuiltIn(None, (civarchive.DEFAULT_HOST,), ""),
}  # fmt: skip
EXPORTS = (".csv", ".json", ".jsonl")


class SingleUrl(OneStrand):
    """A hub of one checkpoint, the one behind a URL."""

    name = "url"

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    def pages(self, strand: Strand, cursor: str | None = None) -> Iterator[Page]:  # noqa: ARG002  there is but one
        file = RemoteFile(
            unquote(urlsplit(self._url).path.rsplit("/", 1)[-1]) or "checkpoint", self._url
        )
        yield Page((bare_listing(self.name, self._url, file.name, self._url, file),), None)

    def look(self, listing_id: str) -> Presence:
        try:
            with self._transport.stream(listing_id, headers={"Range": "bytes=0-0"}):
                return Presence.LISTED
        except HubRefused as error:
            return presence_of_status(error)


@dataclass(frozen=True, slots=True)
class HubRegistry:
    """How hubs are opened: the client, and the tokens by hub name."""

    transport: Transport
    tokens: Mapping[str, str] = field(default_factory=dict)

    def open(self, target: str, types: Sequence[str] = ()) -> Hub:
        """The hub behind a target: a path, a checkpoint's URL, object storage, `civitai`, `civitai=https://host`, or an exported list as `liblib=listing.csv`.

        Args:
            types: only these kinds of checkpoint, in the hub's own words.

        Raises:
            UnknownHub: neither a path that exists, nor a URL, nor a hub's name.
            HubError: the address is none, or the hub cannot be narrowed.
        """
        name, _, _ = target.partition("=")
        if not target.strip():
            raise UnknownHub(target, sorted(REMOTE_HUBS))
        refuse_credentials(target)
        if name in REMOTE_HUBS and not Path(target).exists():
            if REMOTE_HUBS[name].build is None:
                raise HubError(
                    f"{name} lists nothing by itself; `portrait-scanner lookup` asks it about known files"
                )
            hub: Hub = REMOTE_HUBS[name].build(self.transport, self.address_of(target), types)
            return hub
        if types:
            raise HubError(
                f"{target} cannot be narrowed to types; only {', '.join(REMOTE_HUBS)} can"
            )
        return self._unnamed(target)

    def address_of(self, target: str) -> str:
        """The address of `name` or `name=https://host`, from now on with its token and its interface open."""
        name, named, host = target.partition("=")
        built_in = REMOTE_HUBS[name]
        if named and not is_address(host):
            raise HubError(f"{host!r} is not a hub address; write {name}=https://host")
        self.transport.send_token_to(host or built_in.address, self.tokens.get(name))
        for address in (host, *built_in.hosts) if host else built_in.hosts:
            self.transport.exempt_from_robots(address)
        return host or built_in.address

    def admit(self, hub: str, places: Iterable[str]) -> None:
        """Open the interface of a hub whose listings were crawled: what was fetched from there is fetched as then.

        Args:
            places: as its sweeps are remembered, such as "civitai=https://host LORA".
        """
        targets = (
            [hub, *(place.partition(" ")[0] for place in places)] if hub in REMOTE_HUBS else []
        )
        for target in targets:
            if target.partition("=")[0] == hub:
                self.address_of(target)

    def _unnamed(self, target: str) -> Hub:
        if target.startswith(("http://", "https://")):
            if not is_address(target):
                raise HubError(f"{target!r} is no address of a file")
            self.transport.exempt_from_robots(target)
            return SingleUrl(self.transport, target)
        if is_storage(target):
            return StorageHub(target)
        if Path(target).exists():
            return FolderHub(Path(target))
        name, _, path = target.partition("=")
        if Path(path).suffix.lower() in EXPORTS and Path(path).is_file():
            if name in (*OWN_PLACES, SingleUrl.name, *REMOTE_HUBS):
                raise HubError(
                    f"{name} is the name of a hub that is built in; give the export another, as liblib={path}"
                )
            return ImportedHub(Path(path), name)
        raise UnknownHub(target, sorted(REMOTE_HUBS))
