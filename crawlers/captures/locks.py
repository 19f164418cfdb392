"""Whose turn it is at the captures of a home: those who take in and those who open cases share them, whoever deletes is alone."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crawlers.errors import CapturesBusy

_TRY_AGAIN_S = 0.1


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Nothing is deleted meanwhile; others may take in and judge as well."""
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(folder: Path, wait_s: float = 10.0) -> Iterator[None]:
    """Nobody takes in or opens a case meanwhile; raises CapturesBusy where somebody does for longer than that."""
    end = time.monotonic() + wait_s
    with _opened(folder) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise CapturesBusy from None
                time.sleep(_TRY_AGAIN_S)
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".turns").open("ab") as stream:
        yield stream.fileno()
