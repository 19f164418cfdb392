"""Results of scans outside their database: CSV and Parquet for analysts, and a month's counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
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


@dataclass(frozen=True, slots=True)
class MonthOfResults:
    """The results of the scans that began in a month.

    Attributes:
        files: number of different files.
        outcomes: number of pairs of a file and a person by their newest outcome, so that none
            counts twice; a file in which nobody is found counts as a pair too.
        authorised: number of results whose use is authorised.
    """

    files: int
    outcomes: dict[str, int]
    authorised: int


# A spreadsheet may read a cell that begins with one of these as a formula (OWASP, CSV Injection).
_FORMULA_STARTS = tuple("=+-@\t\r\n|%＝＋－＠")

_LINES_AT_ONCE, _ROWS_IN_A_GROUP = 500, 20_000
COLUMNS = tuple(column.name for column in fields(VerdictRow))


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    """CSV with a byte order mark, which spreadsheets need for UTF-8. No value becomes a formula."""
    return b"".join(csv_lines(rows, columns))


def csv_lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield the same, some hundred rows at a time."""
    yield _csv_text([], columns, with_titles=True).encode("utf-8-sig")
    remaining = iter(rows)
    while part := list(islice(remaining, _LINES_AT_ONCE)):
        yield _csv_text(part, columns, with_titles=False).encode()


def _csv_text(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, with_titles: bool
) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    if with_titles:
        writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def write_table(rows: Iterable[VerdictRow], path: Path) -> int:
    """Write rows as CSV or Parquet, by the ending of the file; return their number.

    Rows are written as they come. The file appears once it is complete.
    """
    partial = path.with_name(f"{path.name}.part")
    counted = _Counted(rows)
    try:
        if path.suffix.lower() == ".csv":
            with partial.open("wb") as out:
                out.writelines(csv_lines((row.to_json() for row in counted), COLUMNS))
        else:
            _write_parquet(counted, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return counted.number


class _Counted:
    """Counts the rows that pass through it."""

    def __init__(self, rows: Iterable[VerdictRow]) -> None:
        self._rows, self.number = rows, 0

    def __iter__(self) -> Iterator[VerdictRow]:
        for row in self._rows:
            self.number += 1
            yield row


def _no_formula(value: Any) -> Any:
    """The value, as text if a spreadsheet would calculate it.

    The library defusedcsv is not used, because it leaves cells that begin with a tab, a line break
    or a full-width sign as they are, and changes `|` inside other cells.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _write_parquet(rows: Iterable[VerdictRow], path: Path) -> None:
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
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while part := [row.to_json() for row in islice(remaining, _ROWS_IN_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
