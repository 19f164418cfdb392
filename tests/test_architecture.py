"""docs/architecture.md is what the code is: its drawing, and every file that it names; docs/licences.md lists what is installed."""

from __future__ import annotations

import re
from pathlib import Path

import scanner
from tests.draw_architecture import PAGE, drawn
from tests.list_licences import PAGE as LICENCES
from tests.list_licences import installed

PACKAGES = Path(scanner.__file__).parent.parent


def test_the_drawing_is_what_the_code_is() -> None:
    page = PAGE.read_text("utf-8")
    assert drawn(page) == page, "run: python -m tests.draw_architecture"


def test_a_long_file_says_why() -> None:
    for package in ("crawlers", "face_index", "reports", "scanner"):
        for path in (PACKAGES / package).rglob("*.py"):
            text = path.read_text("utf-8")
            assert text.count("\n") <= 400 or "It is long because" in text[:1000], path


def test_every_dependency_is_listed_with_its_licence() -> None:
    listed = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(
            r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", LICENCES.read_text("utf-8"), re.MULTILINE
        )
    }
    assert set(installed()) <= listed, "run: python -m tests.list_licences"


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE.read_text("utf-8")))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (PACKAGES / name).is_file()] == []
