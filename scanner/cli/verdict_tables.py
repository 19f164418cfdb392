"""Tables of verdicts and cases in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from scanner.cli.output import console, print_line, print_table, visible

if TYPE_CHECKING:
    from reports.cases.case import Case


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
    for row in rows:
        if row["outcome"] in ("failed", "inconclusive"):
            console().print(visible(f"{row['file']}: {row['reason']}"), style="dim")


def print_opened_cases(cases: Sequence[Case]) -> None:
    """Print the cases of a scan, and how to decide about those that are open."""
    from reports.cases.review import OPEN

    for case in cases:
        print_line(
            f"Case {case.case_id}: {case.identity_name} in {case.checkpoint.file}, {case.status}."
        )
    if any(case.status in OPEN for case in cases):
        typer.echo("Decide about one with: portrait-scanner review CASE --help")
