"""Rows that earlier versions stored in scans.db are read and written byte for byte.

Fields that they did not write are left out if they have nothing to say.
"""

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


def written(record: Any, text: str) -> str:
    """The JSON text of a record, without fields that the stored text lacks and that are empty."""
    return json.dumps(_without_new(record, json.loads(text)), ensure_ascii=False)


def _without_new(record: Any, stored_record: Any) -> Any:
    if isinstance(record, dict) and isinstance(stored_record, dict):
        return {
            name: _without_new(value, stored_record.get(name))
            for name, value in record.items()
            if name in stored_record or value not in (None, [])
        }
    if isinstance(record, list | tuple) and isinstance(stored_record, list):
        return [_without_new(*both) for both in zip(record, stored_record, strict=True)]
    return record


@pytest.mark.parametrize("text", stored("scans.verdicts", "record"), ids=lambda _: "verdict")
def test_verdicts(text: str) -> None:
    assert written(VerdictRecord.from_json(json.loads(text)).to_json(), text) == text


@pytest.mark.parametrize("text", stored("scans.items", "verdict"), ids=lambda _: "rows")
def test_result_rows(text: str) -> None:
    rows = [ResultRow.from_json(row).to_json() for row in json.loads(text)["rows"]]
    assert written({"rows": rows}, text) == text


@pytest.mark.parametrize("text", stored("scans.sightings", "record"), ids=lambda _: "capture")
def test_capture_verdicts(text: str) -> None:
    assert written(CaptureVerdict.from_json(json.loads(text)).to_json(), text) == text


def test_fields_that_an_earlier_version_did_not_write_have_defaults() -> None:
    assert VerdictRecord.from_json({"outcome": "clear", "later": 1}) == VerdictRecord("clear")
