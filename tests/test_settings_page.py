"""docs/settings.md lists every setting with its default and its environment variable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from scanner.settings import SampleSettings, Settings, WebSettings
from scanner.settings.sources import REMOVED

PAGE = Path(__file__).parent.parent / "docs/settings.md"
TEXT = PAGE.read_text("utf-8")
ROW = re.compile(r"^\| `([a-z_.]+)` \| [^|]+ \| ([^|]+) \| `([A-Z_]+)`[^|]*\|$", re.MULTILINE)
ROWS = {name: (default, variable) for name, default, variable in ROW.findall(TEXT)}


NESTED: dict[str, type[BaseModel]] = {"web": WebSettings, "samples": SampleSettings}


def defaults(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting with its default; PydanticUndefined where a function computes it."""
    for name, field in model.model_fields.items():
        if name in NESTED:
            yield from defaults(NESTED[name], f"{name}.")
        else:
            yield prefix + name, {} if field.default_factory is dict else field.default


DEFAULTS = dict(defaults(Settings))


def test_the_page_lists_every_setting_and_no_other() -> None:
    assert set(ROWS) == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_is_the_one_in_the_code(name: str) -> None:
    default, written = DEFAULTS[name], ROWS[name][0]
    if default is None:
        assert written.startswith("none")
    elif default is PydanticUndefined:
        assert written.startswith("the ")
    else:
        assert written == f"`{default if isinstance(default, str) else json.dumps(default)}`"


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_environment_variable_follows_from_the_name(name: str) -> None:
    variable = "CIVITAI_TOKEN" if name == "tokens" else name.replace(".", "__").upper()
    assert ROWS[name][1] == f"PORTRAIT_SCANNER_{variable}"


def test_removed_settings_are_named() -> None:
    assert set(re.findall(r"`([a-z_]+)`", TEXT.split("## Removed")[1])) == REMOVED
