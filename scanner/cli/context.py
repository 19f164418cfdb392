"""What every command shares: flags to settings, tables, progress, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from scanner.settings import Settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
FacePackOption = Annotated[
    str | None, typer.Option(help="A known face pack's name or a folder in InsightFace's layout.")
]
UseOption = Annotated[
    str | None,
    typer.Option(help="commercial or research: checked against the face pack's licence.", show_default="commercial"),
]
BaseModelOption = Annotated[str | None, typer.Option(help="A diffusers folder, a single-file checkpoint or a hub id.")]


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options that were given."""

    given: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, **more: Any) -> Settings:
        """Settings from these flags, a command's own, the environment and the files."""
        from scanner.settings import load_settings

        return load_settings({**self.given, **{name: value for name, value in more.items() if value is not None}})


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


class ProgressObserver:
    """Draws steps as a progress bar on standard error (scanner.scan.Observer)."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def step(self, done: int, total: int | None, doing: str) -> None:
        self._progress.update(self._task, completed=done, total=total, description=doing[:40])


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressObserver]:
    """A progress bar on standard error for the duration of a with-block."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield ProgressObserver(progress, progress.add_task(title, total=None))


def write_text_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, "utf-8")
    partial.replace(path)
