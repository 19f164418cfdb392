"""What commands print: lines, warnings, tables, JSON, and files that are written whole."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

# The word always stands beside the colour.
VERDICT_STYLES = {
    "match": "bold red",
    "possible": "yellow",
    "clear": "green",
    "inconclusive": "magenta",
    "failed": "dim",
}
_VERDICT_TITLES = ("verdict", "outcome")
# Names and ids are copied from the screen into the next command, so a table never breaks a line.
_TABLE_WIDTH = 2_000
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str) -> str:
    """Text from strangers with control, escape and direction characters replaced.

    Such characters could forge what a terminal shows.
    """
    import unicodedata

    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in _HIDDEN_CATEGORIES
        else character
        for character in text
    )


def print_line(
    text: str, *, color: str | None = None, bold: bool = False, error: bool = False
) -> None:
    """A line on standard output, or on standard error.

    Pages, files and hubs may have written parts of it. Typer leaves styles out of pipes.
    """
    shown = visible(text)
    if (color or bold) and not os.environ.get("NO_COLOR"):
        shown = typer.style(shown, fg=color, bold=bold or None)
    typer.echo(shown, err=error)


def print_warning(text: str) -> None:
    """A yellow line on standard error."""
    print_line(text, color="yellow", error=True)


def print_error(text: str) -> None:
    """A red line on standard error."""
    print_line(text, color="red", error=True)


def print_notes(notes: Iterable[str]) -> None:
    """Notes on standard error, each printed once with its count."""
    for note, count in Counter(notes).items():
        print_warning(f"{note} ({count} times)" if count > 1 else note)


def print_gaps(gaps: Sequence[str]) -> None:
    """Say on standard error why listings may be missing, and what to do about it."""
    for gap in gaps:
        print_warning(
            f"not finished: {gap}. Listings may be missing there, and nothing is concluded "
            "from their absence; run the command again to have it asked for again."
        )


def console(*, error: bool = False, width: int | None = None) -> Console:
    """A rich console that writes no escape sequence where NO_COLOR is set or no terminal is."""
    from rich.console import Console

    color_system = None if os.environ.get("NO_COLOR") else "auto"
    return Console(
        stderr=error,
        width=width,
        color_system=color_system,  # type: ignore[arg-type]  # rich names a literal type
        markup=False,
        highlight=False,
    )


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str] = ()
) -> None:
    """A plain table on standard output.

    Args:
        numbers: titles of the columns that are aligned to the right.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold underline")
    for title in titles:
        table.add_column(Text(title), no_wrap=True, justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(
            *(
                Text(
                    visible(cell),
                    style=VERDICT_STYLES.get(cell, "") if title in _VERDICT_TITLES else "",
                )
                for title, cell in zip(titles, row, strict=True)
            )
        )
    console(width=_TABLE_WIDTH).print(table)


def print_page_end(shown: int, total: int, following: str) -> None:
    """How to see the rest of a list.

    Args:
        following: options that show the next page.
    """
    print_line(f"{shown:,} of {total:,}. Go on with {following}, or see all with --limit 0.")


def counted(number: int, thing: str) -> str:
    """A number with its noun, which is in the singular for one."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON object on standard output.

    An iterator among its values becomes a list, each item of which is printed when it is read.
    """
    for piece in _json_pieces(document):
        typer.echo(piece, nl=False)


def _json_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    opening = "{"
    for name, value in document.items():
        yield f"{opening}\n  {json.dumps(name)}: "
        if isinstance(value, Iterator):
            opening = "["
            for item in value:
                yield f"{opening}\n    {_indented(item, 4)}"
                opening = ","
            yield "[]" if opening == "[" else "\n  ]"
        else:
            yield _indented(value, 2)
        opening = ","
    yield "\n}\n" if document else "{}\n"


def _indented(value: Any, columns: int) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text.replace("\n", "\n" + " " * columns)


def write_text_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
