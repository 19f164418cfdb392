"""Writes the tables of docs/commands.md. `python -m tests.list_commands`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from scanner.cli.app import PANELS, app
from scanner.cli.commands import summary_of

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"


def shown_commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Each command that help shows, with its words, such as `vault backup`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from shown_commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def tables() -> dict[str, str]:
    """The table of each panel in Markdown, in the order of the help."""
    program: Any = typer.main.get_command(app)
    rows: dict[str, list[str]] = {panel: [] for panel, _ in PANELS}
    for words, command in shown_commands(program):
        panel = program.commands[words.split()[0]].rich_help_panel
        rows[panel].append(f"| `{words}` | {summary_of(command)} |")
    return {
        panel: "\n".join(["| command | what it does |", "|---|---|", *found])
        for panel, found in rows.items()
    }


def with_tables(page: str) -> str:
    """The page with the first table below each panel's heading made anew."""
    for panel, table in tables().items():
        heading = rf"(^## {re.escape(panel)}\n.*?)(?:^\|[^\n]*\n)+"
        pattern = re.compile(heading, re.MULTILINE | re.DOTALL)
        page = pattern.sub(lambda found, table=table: f"{found[1]}{table}\n", page, count=1)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
