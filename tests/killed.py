"""A command that is killed at one of its commits: `python -m tests.killed COMMITS COMMAND ...`.

The process gets signal 9 just before the commit of that number, over all its databases. With 0 it
runs to its end and prints the number of commits. `-c CODE` runs Python code instead of a command.
"""

from __future__ import annotations

import atexit
import os
import signal
import sqlite3
import sys
from typing import Any


def main() -> None:
    """Run the command."""
    last, command = int(sys.argv[1]), sys.argv[2:]
    commits: list[str] = []

    def traced(statement: str) -> None:
        if statement.strip().lower().startswith("commit"):
            commits.append(statement)
            if len(commits) == last:
                os.kill(os.getpid(), signal.SIGKILL)

    connect = sqlite3.connect

    def connecting(*args: Any, **more: Any) -> sqlite3.Connection:
        connection = connect(*args, **more)
        connection.set_trace_callback(traced)
        return connection

    sqlite3.connect = connecting  # type: ignore[assignment]
    atexit.register(lambda: sys.stderr.write(f"commits: {len(commits)}\n"))
    if command[0] == "-c":
        exec(command[1])
        return
    from scanner.cli.app import main as run_command

    sys.argv = ["portrait-scanner", *command]
    run_command()


if __name__ == "__main__":
    main()
