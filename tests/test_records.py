"""Rows that scans.db stored before records were typed are read and written byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.records import CaptureVerdict, ResultRow, VerdictRecord

GOLDEN = Path(__file__).parent / "data" / "golden"


def stored(table: str, column: str) -> Iterator[str]:
    """The JSON texts of a column, as they lay in the database."""
    for folder in ("small", "whole"):
        for line in (GOLDEN / folder / f"{table}.jsonl").read_text("utf-8").splitlines():
            if (text := json.loads(line)[column]) is not None:
                yield text


def written(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)


@pytest.mark.parametrize("text", stored("scans.verdicts", "record"), ids=lambda _: "verdict")
def test_verdicts(text: str) -> None:
    assert written(VerdictRecord.from_json(json.loads(text)).to_json()) == text


@pytest.mark.parametrize("text", stored("scans.items", "verdict"), ids=lambda _: "rows")
def test_result_rows(text: str) -> None:
    rows = [ResultRow.from_json(row).to_json() for row in json.loads(text)["rows"]]
    assert written({"rows": rows}) == text


@pytest.mark.parametrize("text", stored("scans.sightings", "record"), ids=lambda _: "capture")
def test_capture_verdicts(text: str) -> None:
    assert written(CaptureVerdict.from_json(json.loads(text)).to_json()) == text


def test_fields_that_an_earlier_version_did_not_write_have_defaults() -> None:
    assert VerdictRecord.from_json({"outcome": "clear", "later": 1}) == VerdictRecord("clear")
