"""Loading settings from flags, environment and files."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
)

from scanner.errors import SettingsInvalid
from scanner.settings.model import Settings
from scanner.settings.sources import (
    ENVIRONMENT_PREFIX,
    FILE_NAME,
    REMOVED,
    HubTokenSource,
    TomlFile,
)

log = logging.getLogger(__name__)


def load_settings(flags: dict[str, Any]) -> Settings:
    """Settings from all sources; flags that are None were not given.

    portrait-scanner.toml is taken from the working folder, then from the home folder.

    Raises:
        SettingsInvalid: a value or a file is not valid; the message names it.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        home = _settings_from(given, [Path(FILE_NAME)]).home
        settings = _settings_from(given, [Path(FILE_NAME), home / FILE_NAME])
        _must_keep_two_people(settings)
        _warn_of_removed([Path(FILE_NAME), home / FILE_NAME])
        return settings
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsInvalid(f"settings are not valid: {problems}") from error
    except ValueError as error:
        raise SettingsInvalid(f"{FILE_NAME} cannot be read: {error}") from error


def _must_keep_two_people(settings: Settings) -> None:
    """Rules that need two people can be turned off in the home's own settings file only.

    Raises:
        SettingsInvalid: one was turned off in the environment, by a flag or in another file.
    """
    # The file beside the resolved vault; a file in a folder of symbolic links has no effect.
    file = settings.vault_path.resolve().parent.parent / FILE_NAME
    own = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    for name, off in (
        ("two_people", own.get("two_people") is False),
        ("four_eyes", own.get("four_eyes") is not True),
    ):
        if not getattr(settings, name) and not off:
            raise SettingsInvalid(
                f"{name} can be turned off in {file} only: "
                "whoever may change that file decides it for all"
            )
    most = int(own.get("searches_per_day", Settings.model_fields["searches_per_day"].default))
    if settings.searches_per_day > most:
        raise SettingsInvalid(
            f"searches_per_day is {most}; more can be allowed in {file} only: "
            "whoever may change that file decides it for all"
        )


def _warn_of_removed(files: list[Path]) -> None:
    """Log a warning for each removed setting that a file or the environment still names."""
    for file in dict.fromkeys(file.resolve() for file in files):
        named = REMOVED & tomllib.loads(file.read_text("utf-8")).keys() if file.exists() else ()
        for name in sorted(named):
            log.warning("%s in %s has no effect any more; delete the line", name, file)
    for name in sorted(REMOVED):
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable in os.environ:
            log.warning("the environment variable %s has no effect any more", variable)


def _settings_from(given: dict[str, Any], files: list[Path]) -> Settings:
    class FromFiles(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            in_files = (TomlFile(settings_cls, file) for file in files)
            return (
                *super().settings_customise_sources(settings_cls, *sources, **named),
                *(HubTokenSource(settings_cls, source) for source in in_files),
            )

    return FromFiles(**given)
