"""The HTTP client of a command, from settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from crawlers.destinations import Destinations
from crawlers.transport import Transport
from scanner.settings import Settings


def open_transport(settings: Settings) -> Transport:
    """The HTTP client of all hubs, with the operator's token and the hosts they allow."""
    token = settings.hub_token.get_secret_value() if settings.hub_token else None
    return Transport(token, destinations=Destinations(settings.allowed_hosts))


def allow_typed(transport: Transport, targets: Iterable[str]) -> None:
    """Whoever types a host on the command line allows it, also on their own network.

    Not for targets that came from a web page or another program.
    """
    for target in targets:
        address = re.fullmatch(r"(?:[\w-]+=)?(https?://.+)", target)
        if address:
            transport.destinations.allow(address[1])
