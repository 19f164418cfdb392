"""Progress of long work."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives every step of long work; a command draws a progress bar from it."""

    def step(self, done: int, total: int | None, doing: str) -> None:
        """`done` of `total` steps are finished; `total` is None while it is not known."""
