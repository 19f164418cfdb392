"""Sources of settings: files and environment variables, with hub tokens gathered in one mapping."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

FILE_NAME = "portrait-scanner.toml"
ENVIRONMENT_PREFIX = "PORTRAIT_SCANNER_"
# Settings of earlier releases. They have no effect, and a file that names them is still read.
REMOVED = frozenset({"compile_models"})

_TOKEN_VARIABLE = re.compile(r"portrait_scanner_([a-z0-9]+(?:_[a-z0-9]+)*_token)", re.IGNORECASE)


def environment_tokens() -> dict[str, Any]:
    """Every variable of the form PORTRAIT_SCANNER_CIVITAI_TOKEN, under its setting's name."""
    found = ((_TOKEN_VARIABLE.fullmatch(name), value) for name, value in os.environ.items())
    return {match[1].lower(): value for match, value in found if match}


class HubTokenSource(PydanticBaseSettingsSource):
    """Another source of settings, with its hub tokens gathered in the mapping `tokens`.

    `civitai_token = "..."` becomes `tokens = {"civitai_token": "..."}`. So a hub needs no field of
    its own, and a token that belongs to no hub is refused.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], source: Callable[[], dict[str, Any]]
    ) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # only the base class's __call__ uses it

    def __call__(self) -> dict[str, Any]:
        values = dict(self._source())
        tokens = {name: values.pop(name) for name in list(values) if name.endswith("_token")}
        given = values.get("tokens", {})
        if not tokens or not isinstance(given, Mapping):
            return values  # pydantic refuses tokens that are no table
        return {**values, "tokens": {**given, **tokens}}


class TomlFile(TomlConfigSettingsSource):
    """A settings file without the settings that were removed."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name not in REMOVED}
