"""`portrait-scanner`: global options, error messages and exit codes. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import warnings
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from scanner.cli import (
    accuracy,
    captured,
    capturing,
    casework,
    crawled,
    crawling,
    decisions,
    demo,
    enrolment,
    evidence,
    exports,
    holding,
    inspection,
    installation,
    miniature,
    notices,
    previewing,
    registered,
    rights,
    safekeeping,
    scanning,
    serving,
    watching,
)
from scanner.cli.context import Flags, UseOption, command_group, visible


class ExitCode(IntEnum):
    """What the program ends with; documented in README."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    COULD_NOT_FINISH = 3
    STOPPED = 130  # Ctrl-C; Typer's own, as shells have it


app = command_group(
    "Tells whose face a public image model was trained to reproduce, and proves it.",
    name="portrait-scanner",
    pretty_exceptions_enable=False,
    add_completion=False,
)
enrolment.add_to(app)
registered.add_to(app)
decisions.add_to(app)
inspection.add_to(app)
crawling.add_to(app)
watching.add_to(app)
crawled.add_to(app)
capturing.add_to(app)
previewing.add_to(app)
scanning.add_to(app)
demo.add_to(app)
casework.add_to(app)
evidence.add_to(app)
exports.add_to(app)
accuracy.add_to(app)
installation.add_to(app)
serving.add_to(app)
app.add_typer(rights.consents, name="consent")
app.add_typer(rights.licences, name="licence")
app.add_typer(notices.group, name="notice")
app.add_typer(safekeeping.vault_group, name="vault")
app.add_typer(safekeeping.audit_group, name="audit")
app.add_typer(serving.group, name="account")
app.add_typer(captured.group, name="captures")
app.add_typer(holding.group, name="held")
app.add_typer(miniature.group, name="miniature")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"portrait-scanner {version('portrait-scanner')}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Where this installation's data lives.", show_default="user data folder"),
    ] = None,
    use: UseOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and library messages.")
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Global options come before the command."""
    context.obj = Flags({"home": home, "use": use, "device": device})
    quieten_libraries(debug)


def quieten_libraries(debug: bool) -> None:
    """Keep libraries' notes off the terminal: our own warnings stay, all of them with --debug."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        stream=sys.stderr,
        format="%(name)s: %(message)s",
    )
    if not debug:
        # These two set their own levels when imported, from the environment.
        os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.filterwarnings(
            "ignore", category=FutureWarning, module=r"(insightface|diffusers|transformers|peft)\."
        )
        for name in (
            "diffusers",
            "transformers",
            "peft",
            "httpx",
            "stamina",
            "insightface",
            "onnxruntime",
            "PIL",
            "picklescan",
            "ray",
            "weasyprint",
            "fontTools",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)


def main() -> None:
    """The console script: known errors become one sentence and an exit code, never a traceback."""
    debug = "--debug" in sys.argv
    os.umask(
        0o077
    )  # faces, names and evidence: whoever else is on the machine has no business with any file of it
    try:
        app()
    except SystemExit as ended:
        _end(ended.code)
    except Exception as error:  # the outermost frame: every error becomes a sentence here
        if debug:
            raise
        _fail(*_sentence_and_code(error))


def _sentence_and_code(error: Exception) -> tuple[str, ExitCode]:
    from crawlers.errors import CrawlError, UnknownHub
    from face_index.errors import FaceIndexError, ManifestInvalid, NameRefused, UnknownIdentity
    from reports.errors import ReportError, ReviewRefused, UnknownNotice
    from scanner.errors import LookRefused, ReleaseRefused, ScanError, SettingsInvalid, UnknownScan
    from scanner.web.errors import WebError

    usage = (
        UnknownHub | UnknownIdentity | ManifestInvalid | NameRefused | SettingsInvalid | UnknownScan
    )
    if isinstance(
        error, usage | ReviewRefused | ReleaseRefused | LookRefused | UnknownNotice | WebError
    ):
        return str(error), ExitCode.USAGE
    if isinstance(error, CrawlError | FaceIndexError | ReportError | ScanError):
        return str(error), ExitCode.COULD_NOT_FINISH
    if isinstance(error, sqlite3.DatabaseError):
        return _about_database(error), ExitCode.COULD_NOT_FINISH
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


def _about_database(error: sqlite3.DatabaseError) -> str:
    """What to do about it, by SQLite's own name of the error (sqlite.org/rescode.html)."""
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
        return "the disk is full; nothing that was finished is lost: make room and run the command again"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"a database is damaged ({error}); nothing was written to it. `portrait-scanner doctor` says which, and what to do"
    return (
        f"a database could not be read or written ({error}); nothing that was finished is lost. If the folder is "
        "read-only, mend that and run the command again; `portrait-scanner doctor` looks at each database"
    )


def _fail(sentence: str, code: ExitCode) -> NoReturn:
    typer.secho(f"error: {visible(sentence)}", err=True, fg="red")
    _end(code)


def _end(code: Any) -> NoReturn:
    """Leave; at once where a thread is judging (scanner.scanning.workers), since Python's own end would tear it out of torch and abort.

    Nothing is lost by it: a scan goes on from its ledger, however it was ended.
    """
    if code in (ExitCode.COULD_NOT_FINISH, ExitCode.STOPPED) and any(
        thread.name == "judging" for thread in threading.enumerate()
    ):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
