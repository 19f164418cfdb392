"""The worker process beside `serve`: started with it, restarted if it dies, stopped with it."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
_WELL_S = 300.0  # a worker that ran this long was started correctly


class WorkerProcess:
    """A command that is restarted until it is stopped, after a growing wait if it keeps dying.

    Args:
        command: the command to run; it must end at SIGTERM.
    """

    def __init__(self, command: Sequence[str], first_wait_s: float = FIRST_WAIT_S) -> None:
        self._command, self._first_wait_s = tuple(command), first_wait_s
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._process = self._started()
        self._watcher = threading.Thread(target=self._watch, name="worker's watcher", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Stop the process and wait until it has ended."""
        with self._lock:  # the watcher starts no process after this
            self._ended.set()
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._watcher.join()

    def _watch(self) -> None:
        wait_s = self._first_wait_s
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._ended.is_set():
                return
            if time.monotonic() - began > _WELL_S:
                wait_s = self._first_wait_s
            log.error(
                "the worker ended by itself (%d) and is started again in %.0f s", code, wait_s
            )
            if self._ended.wait(wait_s):
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            with self._lock:
                if self._ended.is_set():
                    return
                try:
                    self._process = self._started()
                except OSError:  # out of memory or processes: the next round tries again
                    log.exception("the worker cannot be started now")

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command)  # noqa: S603  our own program
