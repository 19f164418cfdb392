"""The lock of a home's captures: shared by intake and cases, exclusive for deletions."""

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
    """Hold the lock together with others, so that nothing is deleted meanwhile."""
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(folder: Path, wait_s: float = 10.0) -> Iterator[None]:
    """Hold the lock exclusively; raises CapturesBusy if others hold it for longer than `wait_s`."""
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
