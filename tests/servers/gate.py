"""`portrait-scanner serve` as a user starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.servers.serving import free_port


class Served:
    """The server in a process group of its own, so that it can be killed with its children.

    Args:
        web: environment variables.
    """

    def __init__(self, home: Path, **web: str) -> None:
        self.port = free_port()
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "PORTRAIT_SCANNER_FACE_PACK": "miniature",
            "PORTRAIT_SCANNER_WEB__URL": self.url,
            "OMP_NUM_THREADS": "1",
            **web,
        }

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "scanner.cli.app",
            "--home",
            str(self.home),
            "serve",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(
            command,
            env=self._environment,
            start_new_session=True,
            stderr=None if os.environ.get("SERVED") else subprocess.DEVNULL,
        )
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError("the server did not become ready")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
