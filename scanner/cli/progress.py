"""Progress bars on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scanner.cli.output import console, visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressObserver:
    """Draws steps as a progress bar (scanner.scanning.scan.Observer)."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def step(self, done: int, total: int | None, doing: str) -> None:
        self._progress.update(
            self._task, completed=done, total=total, description=visible(doing[:60])
        )


class TransferObserver:
    """Draws one download after another (crawlers.checkpoints.download.Progress)."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin(self, name: str) -> None:
        """Begin the next file; its bytes are counted from zero."""
        self._progress.reset(self._task, description=visible(name[:50]))

    def __call__(self, have: int, total: int | None) -> None:
        self._progress.update(self._task, completed=have, total=total)


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressObserver]:
    """A progress bar of steps for the duration of a with-block."""
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
    with Progress(*columns, console=console(error=True)) as progress:
        yield ProgressObserver(progress, progress.add_task(title, total=None))


@contextmanager
def transfer_bar() -> Iterator[TransferObserver]:
    """A progress bar of bytes for the duration of a with-block."""
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
    with Progress(*columns, console=console(error=True)) as progress:
        yield TransferObserver(progress, progress.add_task("", total=None))
