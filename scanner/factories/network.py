"""Opening the HTTP client and the hubs, with the operator's limits and tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable

from crawlers.http.budgets import HostBudgets
from crawlers.http.destinations import Destinations, is_address
from crawlers.http.transport import USER_AGENT, Transport
from crawlers.hubs.registry import REMOTE_HUBS, HubRegistry
from scanner.errors import KeyringUnusable
from scanner.settings import Settings

KEYRING_SERVICE = "portrait-scanner hub tokens"


def open_transport(settings: Settings) -> Transport:
    """The HTTP client of all hubs, with the operator's limits and the hosts they allow."""
    interval_s = 1 / settings.requests_per_second if settings.requests_per_second else 0.0
    transport = Transport(
        destinations=Destinations(settings.allowed_hosts),
        budgets=HostBudgets(interval_s, spare_own=True),
        user_agent=f"{USER_AGENT} {settings.contact}" if settings.contact else USER_AGENT,
        obey_robots=True,
    )
    for host in settings.robots_exempt:
        transport.exempt_from_robots(f"https://{host}")
    return transport


def open_hubs(settings: Settings, transport: Transport) -> HubRegistry:
    """The registry of hubs, with the operator's token for each hub."""
    tokens = {name: token for name in REMOTE_HUBS if (token := token_of(settings, name))}
    return HubRegistry(transport, tokens)


def token_of(settings: Settings, hub: str) -> str | None:
    """The operator's token for a hub: from the settings, else from the keyring if configured.

    Raises:
        KeyringUnusable: the keyring is configured and gives no answer.
    """
    secret = settings.tokens.get(REMOTE_HUBS[hub].token_setting)
    if secret is not None:
        return secret.get_secret_value()
    if settings.hub_tokens != "keyring":
        return None
    import keyring

    try:
        return keyring.get_password(KEYRING_SERVICE, hub)
    except keyring.errors.KeyringError as error:
        raise KeyringUnusable(error) from error


def keep_token(hub: str, token: str) -> None:
    """Put a hub's token into the system's keyring; raises KeyringUnusable."""
    import keyring

    try:
        keyring.set_password(KEYRING_SERVICE, hub, token)
    except keyring.errors.KeyringError as error:
        raise KeyringUnusable(error) from error


def allow_typed(transport: Transport, targets: Iterable[str]) -> None:
    """Allow hosts that were typed on the command line, also on a private network.

    The user is responsible for their robots.txt, which is not obeyed. Targets from a web page or
    another program must not be passed.
    """
    for target in targets:
        address = re.fullmatch(r"(?:[\w-]+=)?(https?://.+)", target)
        if address and is_address(address[1]):
            transport.destinations.allow(address[1])
            transport.exempt_from_robots(address[1])
