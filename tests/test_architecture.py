"""docs/architecture.md is what the code is: its drawing, and every file that it names."""

from __future__ import annotations

import re
from pathlib import Path

from tests.draw_architecture import PAGE, drawn

ROOT = Path(__file__).parent.parent


def test_the_drawing_is_what_the_code_is() -> None:
    page = PAGE.read_text("utf-8")
    assert drawn(page) == page, "run: python -m tests.draw_architecture"


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE.read_text("utf-8")))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
