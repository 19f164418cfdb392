"""The record in which a hub's module describes the hub to the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crawlers.http.transport import Transport
from crawlers.listing import Hub

TOKEN_SUFFIX = "_token"  # noqa: S105  the end of a setting's name


class HubFactory(Protocol):
    """Opens a hub; usually the hub's class itself."""

    def __call__(self, transport: Transport, host: str, types: Sequence[str], /) -> Hub: ...


@dataclass(frozen=True, slots=True)
class HubDescription:
    """Everything that the rest of the program knows about a hub; its module's constant `HUB`.

    How the hub is divided into partitions is a matter of its class: see `Hub.partitions`.

    Attributes:
        name: the hub's name in targets (`civitai`, `civitai=https://host`) and in crawl.db.
        addresses: the addresses of its published interface. The first one is the default. The
            interface is meant for programs, so robots.txt is not consulted for these addresses.
        build: opens the hub; None for a hub that cannot be listed, only asked about hashes.
        types: what `--type` accepts, as shown by the `hubs` command.
        token_setting: the setting that holds the operator's token. It ends in `_token`; the
            environment variable is PORTRAIT_SCANNER_ and the same name in capitals.

    Raises:
        ValueError: the name of the token's setting does not end in `_token`.
    """

    name: str
    addresses: tuple[str, ...]
    build: HubFactory | None
    types: str
    token_setting: str

    def __post_init__(self) -> None:
        if not self.token_setting.endswith(TOKEN_SUFFIX):
            raise ValueError(f"the token setting of {self.name} must end in {TOKEN_SUFFIX}")

    @property
    def address(self) -> str:
        return self.addresses[0]
