"""Results of scans whose rows were read, so that they can be looked at after their session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from scanner.identification.outcome import FINDINGS
from scanner.scanning.retrosearch import RetrosearchResult
from scanner.scanning.scan_result import ReportedRow, ScanResult


class RowsRead(tuple[ReportedRow, ...]):
    """Rows in memory."""

    __slots__ = ()

    def findings(self) -> Iterator[ReportedRow]:
        return (row for row in self if row.row.outcome in FINDINGS)


Result = TypeVar("Result", ScanResult, RetrosearchResult)


def read_result(result: Result) -> Result:
    """Return a result with the rows that it has now."""
    return replace(result, rows=RowsRead(result.rows))  # type: ignore[arg-type]  has what is used
