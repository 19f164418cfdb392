"""What every command shares: flags to settings, tables, progress, JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from scanner.settings import Settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
FacePackOption = Annotated[
    str | None, typer.Option(help="A known face pack's name or a folder in InsightFace's layout.")
]
UseOption = Annotated[
    str | None,
    typer.Option(
        help="commercial or research: checked against the face pack's licence.",
        show_default="commercial",
    ),
]
BaseModelOption = Annotated[
    str | None, typer.Option(help="A diffusers folder, a single-file checkpoint or a hub id.")
]


LanguageOption = Annotated[str, typer.Option("--lang", help="en or zh-CN.")]
OperatorOption = Annotated[
    str | None, typer.Option(help="Who does this, for the audit log.", show_default="login name")
]


class Commands(typer.core.TyperGroup):
    """Commands with what each does in full: no line of help ends in dots."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Click's own list, but for its length."""
        rows = [
            (name, self.commands[name].get_short_help_str(limit=400))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def command_group(about: str, **more: Any) -> typer.Typer:
    """A group of commands; plain help, since the pretty one takes a quarter of a second to load."""
    return typer.Typer(
        help=about, no_args_is_help=True, cls=Commands, rich_markup_mode=None, **more
    )


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options that were given."""

    given: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, **more: Any) -> Settings:
        """Settings from these flags, a command's own, the environment and the files."""
        from scanner.settings import load_settings

        return load_settings(
            {**self.given, **{name: value for name, value in more.items() if value is not None}}
        )


def visible(text: str) -> str:
    """Text of strangers as a terminal may have it: no control, escape or direction marks, which could forge what is read."""
    import unicodedata

    if text.isascii() and text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(sign) in hidden else sign
        for sign in text
    )


def check_language(language: str) -> None:
    """Raise typer.BadParameter unless reports and messages exist in that language."""
    if language not in ("en", "zh-CN"):
        raise typer.BadParameter(f"{language!r} is not one of en, zh-CN", param_hint="--lang")


def day_of(text: str, option: str) -> date:
    """A date from the command line; raises typer.BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date like 2028-01-31", param_hint=option
        ) from None


# Names and ids are copied from the screen into the next command: a terminal may break a line, a table must not.
TABLE_WIDTH = 2_000


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table on standard output."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold underline")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(escape(visible(cell)) for cell in row))
    Console(width=TABLE_WIDTH).print(table)


def counted(number: int, thing: str) -> str:
    """A number with its word, in the singular for one."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


class ProgressObserver:
    """Draws steps as a progress bar on standard error (scanner.scanning.scan.Observer)."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def step(self, done: int, total: int | None, doing: str) -> None:
        self._progress.update(
            self._task, completed=done, total=total, description=visible(doing[:60])
        )


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressObserver]:
    """A progress bar on standard error for the duration of a with-block."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield ProgressObserver(progress, progress.add_task(title, total=None))


@contextmanager
def transfer_bar() -> Iterator[TransferObserver]:
    """A progress bar of bytes on standard error for the duration of a with-block."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield TransferObserver(progress, progress.add_task("", total=None))


class TransferObserver:
    """Draws one download after another (crawlers.checkpoints.download.Progress)."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin(self, name: str) -> None:
        """The next file; its bytes are counted from nothing."""
        self._progress.reset(self._task, description=visible(name[:50]))

    def __call__(self, have: int, total: int | None) -> None:
        self._progress.update(self._task, completed=have, total=total)


def print_gaps(gaps: Sequence[str]) -> None:
    """Say on standard error why listings may be missing, and what to do about it."""
    for gap in gaps:
        typer.secho(
            f"not finished: {visible(gap)}. Listings may be missing there, and nothing is concluded "
            "from their absence; run the command again to have it asked for again.",
            err=True,
            fg="yellow",
        )


def new_file(path: Path) -> None:
    """Raise typer.BadParameter if something is there already: evidence is not overwritten."""
    if path.exists():
        raise typer.BadParameter(
            f"{path} exists already; nothing was overwritten", param_hint="FILE"
        )


def write_text_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
