"""Exit codes, and the sentence that each kind of error is reported with."""

from __future__ import annotations

import sqlite3
from enum import IntEnum


class ExitCode(IntEnum):
    """What the program ends with; docs/commands.md lists them."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    COULD_NOT_FINISH = 3
    STOPPED = 130  # Ctrl-C; Typer's own, as shells have it


def sentence_and_code(error: Exception) -> tuple[str, ExitCode]:
    """What an error is reported with: a sentence for people, and the exit code."""
    from crawlers.errors import CrawlError, UnknownHub
    from face_index.errors import FaceIndexError, ManifestInvalid, NameRefused, UnknownIdentity
    from reports.errors import ReportError, ReviewRefused, UnknownNotice
    from scanner.errors import (
        HoldReviewRefused,
        ReleaseRefused,
        ScanError,
        SettingsInvalid,
        UnknownScan,
    )
    from scanner.web.errors import WebError

    usage = (
        UnknownHub | UnknownIdentity | ManifestInvalid | NameRefused | SettingsInvalid | UnknownScan
    )
    if isinstance(
        error, usage | ReviewRefused | ReleaseRefused | HoldReviewRefused | UnknownNotice | WebError
    ):
        return str(error), ExitCode.USAGE
    if isinstance(error, CrawlError | FaceIndexError | ReportError | ScanError):
        return str(error), ExitCode.COULD_NOT_FINISH
    if isinstance(error, sqlite3.DatabaseError):
        return _database_sentence(error), ExitCode.COULD_NOT_FINISH
    if isinstance(error, UnicodeEncodeError):
        return "an argument is not valid Unicode text", ExitCode.USAGE
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"{error.strerror}{where}; nothing that was finished is lost, run the command again",
            ExitCode.COULD_NOT_FINISH,
        )
    return (
        f"unexpected {type(error).__name__}: {error}; run again with --debug and report it",
        ExitCode.COULD_NOT_FINISH,
    )


def _database_sentence(error: sqlite3.DatabaseError) -> str:
    """What to do about an error of SQLite, by its name (https://sqlite.org/rescode.html)."""
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
        return (
            "the disk is full; nothing that was finished is lost: make room and run the command "
            "again"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return (
            f"a database is damaged ({error}); nothing was written to it. "
            "`portrait-scanner doctor` says which, and what to do"
        )
    return (
        f"a database could not be read or written ({error}); nothing that was finished is lost. "
        "If the folder is read-only, make it writable and run the command again; "
        "`portrait-scanner doctor` looks at each database"
    )
