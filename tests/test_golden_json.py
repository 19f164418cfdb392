"""Printed and stored JSON equals the golden files.

tests/data/golden/README.md describes the files.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.golden_world import GOLDEN, MADE_IN, World, small, write

# Columns that hold JSON, by table.
RECORDS = {
    "scans.items": ("listing", "triage", "verdict"),
    "scans.item_listings": ("record",),
    "scans.verdicts": ("record", "parts"),
    "scans.triages": ("record",),
    "scans.sightings": ("record",),
    "scans.held_files": ("places",),
    "cases.cases": ("record",),
    "cases.entries": ("details",),
    "cases.summaries": ("summary",),
    "cases.seals": ("parts",),
    "crawl.captures": ("checks", "notes"),
    "crawl.capture_pages": ("facts", "edited", "notes"),
    "crawl.capture_images": ("picture", "provenance"),
    "crawl.listings": ("record",),
}
# Values that depend on the machine, its libraries, its load or the date: only types are compared.
OF_THE_MACHINE = ("versions", "environment", "seconds", "month", "opened_s")
CHANGING = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|\+00:00)?"
    r"|(?<=on )\d{4}-\d\d-\d\d)|(?P<scan>\d{8}-\d{6}-[0-9a-f]{6})"
    r"|(?<![\w.])(?P<hex>[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16})\b"
)
TOLERANCE = 0.005


def numbered(text: str, folder: str) -> str:
    """Replace times by "time", ids and hashes by numbers in order of appearance, and the folder."""
    seen: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        kind = str(found.lastgroup)
        return kind if kind == "time" else seen.setdefault(found[0], f"{kind}-{len(seen)}")

    return CHANGING.sub(name, text.replace(folder, MADE_IN))


def records_in(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """Return a stored row with its JSON parsed."""
    return {
        name: json.loads(value) if name in columns and value else value
        for name, value in row.items()
    }


def differences(was: Any, now: Any, place: str = "") -> list[str]:
    """Return where two JSON documents differ.

    Keys, their order, types, texts and integers are compared exactly, floats with a tolerance.
    """
    if place.rpartition(".")[2] in OF_THE_MACHINE:
        return [] if type(was) is type(now) else [f"{place}: {was!r} is now {now!r}"]
    if isinstance(was, dict) and isinstance(now, dict):
        if list(was) != list(now):
            return [f"{place}: the keys {list(was)} are now {list(now)}"]
        return [
            difference
            for name in was
            for difference in differences(was[name], now[name], f"{place}.{name}")
        ]
    if isinstance(was, list) and isinstance(now, list):
        if len(was) != len(now):
            return [f"{place}: {len(was)} are now {len(now)}"]
        pairs = enumerate(zip(was, now, strict=True))
        return [
            difference
            for number, (old, new) in pairs
            for difference in differences(old, new, f"{place}[{number}]")
        ]
    if type(was) is not type(now):
        return [f"{place}: {was!r} is now {now!r}"]
    same = abs(was - now) <= TOLERANCE if isinstance(was, float) else was == now
    return [] if same else [f"{place}: {was!r} is now {now!r}"]


def documents(path: Path, folder: str) -> list[Any]:
    """Parse a golden file, or a file made like it, without the values that change at each run."""
    text = numbered(path.read_text("utf-8"), folder)
    if path.suffix == ".csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
        real = ("score", "threshold", "lift", "seconds")
        return [
            {name: float(value) if name in real and value else value for name, value in row.items()}
            for row in rows
        ]
    if path.suffix == ".jsonl":
        return [
            records_in(json.loads(line), RECORDS.get(path.stem, ())) for line in text.splitlines()
        ]
    return [json.loads(text)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Build the small world with the present code; return its golden and its own folder."""
    folder = tmp_path_factory.mktemp("golden")
    world = World(folder / "world")
    small(world)
    write(world, folder / "small")
    return folder / "small", str(folder / "world")


SMALL = sorted(path.name for path in (GOLDEN / "small").iterdir())
STORED = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.jsonl"))
PRINTED = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.json"))


@pytest.mark.parametrize("name", SMALL)
def test_the_program_still_writes_it(made: tuple[Path, str], name: str) -> None:
    folder, place = made
    assert (
        differences(documents(GOLDEN / "small" / name, MADE_IN), documents(folder / name, place))
        == []
    )


def test_the_program_writes_nothing_else(made: tuple[Path, str]) -> None:
    assert sorted(path.name for path in made[0].iterdir()) == SMALL


@pytest.mark.parametrize("name", PRINTED)
def test_printed_json_has_the_form_of_the_contract(name: str) -> None:
    must_be_printed_so((GOLDEN / name).read_text("utf-8"))


@pytest.mark.parametrize("name", STORED)
def test_stored_json_is_written_back_byte_for_byte(name: str) -> None:
    must_be_stored_so((GOLDEN / name).read_text("utf-8"), Path(name).stem)


def test_json_is_written_in_the_same_form(made: tuple[Path, str]) -> None:
    for path in made[0].glob("*.json"):
        must_be_printed_so(path.read_text("utf-8"))
    for path in made[0].glob("*.jsonl"):
        must_be_stored_so(path.read_text("utf-8"), path.stem)


def must_be_printed_so(text: str) -> None:
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"


def must_be_stored_so(text: str, table: str) -> None:
    for line in text.splitlines():
        row = json.loads(line)
        for column in RECORDS.get(table, ()):
            if row.get(column) is not None:
                assert row[column] == json.dumps(json.loads(row[column]), ensure_ascii=False)
