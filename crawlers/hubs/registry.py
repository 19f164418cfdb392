"""The built-in hubs by name, and the hub behind a target that somebody typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from crawlers.errors import HubError, UnknownHub
from crawlers.http.destinations import OWN_PLACES, is_address, refuse_credentials
from crawlers.http.transport import Transport
from crawlers.hubs.description import HubDescription
from crawlers.hubs.folder import FolderHub
from crawlers.hubs.imported import ImportedHub
from crawlers.hubs.single_url import SingleUrl
from crawlers.hubs.storage import StorageHub, is_storage
from crawlers.listing import Hub

# One line for each hub: the module in this folder whose constant HUB describes it.
_MODULES = (
    "civitai",
    "huggingface",
    "modelscope",
    "github",
    "civarchive",
)
EXPORTS = (".csv", ".json", ".jsonl")


def _described_in(module: str) -> HubDescription:
    description: HubDescription = import_module(f"crawlers.hubs.{module}").HUB
    return description


REMOTE_HUBS: Mapping[str, HubDescription] = {hub.name: hub for hub in map(_described_in, _MODULES)}


@dataclass(frozen=True, slots=True)
class HubRegistry:
    """Opens hubs with one HTTP client and the operator's tokens, which are given by hub name."""

    transport: Transport
    tokens: Mapping[str, str] = field(default_factory=dict)

    def open(self, target: str, types: Sequence[str] = ()) -> Hub:
        """Open the hub behind a target.

        Args:
            target: a path, the URL of a checkpoint, object storage, `civitai`,
                `civitai=https://host`, or an exported list as in `liblib=listing.csv`.
            types: only these kinds of checkpoint, in the hub's own words.

        Raises:
            UnknownHub: the target is no existing path, no URL and no hub's name.
            HubError: the address is invalid, or the hub cannot be narrowed to types.
        """
        name, _, _ = target.partition("=")
        if not target.strip():
            raise UnknownHub(target, sorted(REMOTE_HUBS))
        refuse_credentials(target)
        if name in REMOTE_HUBS and not Path(target).exists():
            build = REMOTE_HUBS[name].build
            if build is None:
                raise HubError(
                    f"{name} lists nothing by itself; "
                    "`portrait-scanner lookup` asks it about known files"
                )
            return build(self.transport, self.address_of(target), types)
        if types:
            raise HubError(
                f"{target} cannot be narrowed to types; only {', '.join(REMOTE_HUBS)} can"
            )
        return self._open_unnamed(target)

    def address_of(self, target: str) -> str:
        """The address of `name` or `name=https://host`.

        From then on the transport sends the hub's token to that address, and does not consult
        robots.txt for the hub's published interface.
        """
        name, separator, host = target.partition("=")
        hub = REMOTE_HUBS[name]
        if separator and not is_address(host):
            raise HubError(f"{host!r} is not a hub address; write {name}=https://host")
        self.transport.send_token_to(host or hub.address, self.tokens.get(name))
        for address in (host, *hub.addresses) if host else hub.addresses:
            self.transport.exempt_from_robots(address)
        return host or hub.address

    def admit(self, hub: str, places: Iterable[str]) -> None:
        """Allow fetching from a hub under the conditions under which it was crawled.

        Args:
            places: the places of its sweeps in crawl.db, such as "civitai=https://host LORA".
        """
        if hub not in REMOTE_HUBS:
            return
        for target in (hub, *(place.partition(" ")[0] for place in places)):
            if target.partition("=")[0] == hub:
                self.address_of(target)

    def _open_unnamed(self, target: str) -> Hub:
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
                    f"{name} is the name of a hub that is built in; "
                    f"give the export another, as liblib={path}"
                )
            return ImportedHub(Path(path), name)
        raise UnknownHub(target, sorted(REMOTE_HUBS))
