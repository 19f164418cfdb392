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
    """A list of hosts, from the environment also as `one, other`."""
    hosts = value
    if isinstance(value, str):
        hosts = (
            json.loads(value)
            if value.strip().startswith("[")
            else [one.strip() for one in value.split(",") if one.strip()]
        )
    odd = (
        [one for one in hosts if not isinstance(one, str) or not _HOST.fullmatch(one)]
        if isinstance(hosts, list | tuple)
        else [hosts]
    )
    if odd:
        # An address may hold a password: it is not repeated.
        shown = "one of them" if "@" in str(odd[0]) else repr(odd[0])
        raise ValueError(f"{shown} is no host; write host or host:port")
    return hosts


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]
