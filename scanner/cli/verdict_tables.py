"""Tables of verdicts and cases in the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from scanner.cli.output import console, counted, print_line, print_table, visible

if TYPE_CHECKING:
    from reports.cases.case_store import CaseStore
    from scanner.scanning.scan_result import ReportedRows

_MOST_ROWS = 200
_MOST_CASES = 20
_MOST_REASONS = 20


def print_results(reported: ReportedRows, case_store: CaseStore) -> None:
    """Print the most serious rows of scans, and the cases that they belong to."""
    from scanner.scanning.scan_result import case_ids_of

    total = reported.counts().rows
    shown = reported.shown(_MOST_ROWS, total)
    print_rows([row.to_json() for row in shown])
    if total > len(shown):
        print_line(
            f"{len(shown):,} of {total:,} results, the most serious ones. --json prints all."
        )
    print_opened_cases(case_ids_of(reported.findings()), case_store)


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of result rows in the JSON contract of `scan`."""
    numbers = ("score", "threshold", "lift", "samples", "seconds")
    print_table(
        ("model", "verdict", "identity", *numbers),
        [
            (
                row["file"],
                row["outcome"],
                row["identity"] or "",
                *("" if row[name] is None else f"{row[name]:.2f}" for name in numbers[:3]),
                str(row["samples"]),
                f"{row['seconds']:.1f}",
            )
            for row in rows
        ],
        numbers=numbers,
    )
    files = defaultdict[str, list[str]](list)
    for row in rows:
        if row["outcome"] in ("failed", "inconclusive"):
            files[row["reason"]].append(row["file"])
    for reason, (first, *others) in list(files.items())[:_MOST_REASONS]:
        more = f" and {counted(len(others), 'file')} more" if others else ""
        console().print(visible(f"{first}{more}: {reason}"), style="dim", soft_wrap=True)


def print_opened_cases(case_ids: Sequence[str], case_store: CaseStore) -> None:
    """Print the cases of a scan, and how to decide about those that are open."""
    from reports.cases.review import OPEN

    cases = case_store.named(case_ids[:_MOST_CASES])
    for case in cases:
        print_line(
            f"Case {case.case_id}: {case.identity_name} in {case.checkpoint.file}, {case.status}."
        )
    if (more := len(case_ids) - _MOST_CASES) > 0:
        print_line(f"{counted(more, 'case')} more: portrait-scanner cases")
    if any(case.status in OPEN for case in cases):
        typer.echo("Decide about one with: portrait-scanner review CASE --help")
