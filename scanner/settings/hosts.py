"""Host names in settings."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
)
from pydantic_settings import (
    NoDecode,
)

_HOST = re.compile(r"[\w.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")


def _hosts(value: Any) -> Any:
    """A list of hosts; in the environment also separated by commas."""
    hosts = value
    if isinstance(value, str):
        hosts = (
            json.loads(value)
            if value.strip().startswith("[")
            else [host.strip() for host in value.split(",") if host.strip()]
        )
    odd = (
        [host for host in hosts if not isinstance(host, str) or not _HOST.fullmatch(host)]
        if isinstance(hosts, list | tuple)
        else [hosts]
    )
    if odd:
        # An address may hold a password, so it is not repeated.
        shown = "one of them" if "@" in str(odd[0]) else repr(odd[0])
        raise ValueError(f"{shown} is no host; write host or host:port")
    return hosts


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]
