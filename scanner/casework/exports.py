"""Verdicts as CSV and Parquet, for analysts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One result of one scan.

    Attributes:
        judged_in: start of the scan, UTC, ISO 8601.
        target: of the scan.
    """

    scan_id: str
    judged_in: str
    target: str
    hub: str
    listing_id: str
    file: str
    sha256: str | None
    outcome: str
    identity_id: str | None
    score: float | None
    threshold: float | None
    lift: float | None
    samples: int
    seconds: float
    gallery_version: int | None
    authorised: str | None
    case_id: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# A spreadsheet may read a cell that begins with one of these as a formula (OWASP, CSV Injection).
_FORMULA_STARTS = tuple("=+-@\t\r\n|%＝＋－＠")

COLUMNS = tuple(column.name for column in fields(VerdictRow))


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    """CSV with a byte order mark, which spreadsheets need for UTF-8. No value becomes a formula."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode("utf-8-sig")


def _no_formula(value: Any) -> Any:
    """The value, as text if a spreadsheet would calculate it.

    The library defusedcsv is not used, because it leaves cells that begin with a tab, a line break
    or a full-width sign as they are, and changes `|` inside other cells.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def write_parquet(rows: Iterable[VerdictRow], path: Path) -> None:
    """Parquet with a fixed schema, also where there is no row."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        "score": pa.float64(),
        "threshold": pa.float64(),
        "lift": pa.float64(),
        "samples": pa.int64(),
        "seconds": pa.float64(),
        "gallery_version": pa.int64(),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    table = pa.Table.from_pylist([row.to_json() for row in rows], schema=schema)
    parquet.write_table(table, path)
