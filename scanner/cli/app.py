"""`portrait-scanner`: the program, its global options and its end. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from scanner.cli import (
    accounts,
    accuracy,
    audit,
    bulk_enrolment,
    calibration,
    capture_pages,
    captures,
    case_reports,
    cases,
    consents,
    copies,
    demo,
    doctor,
    enrolment,
    evidence,
    fetching,
    hash_lists,
    held_files,
    hub_watch,
    hubs,
    intake,
    listings,
    miniature,
    notice_tracking,
    notices,
    people,
    retrosearch,
    scanning,
    server,
    statistics,
    vault,
    withdrawal,
)
from scanner.cli.commands import CommandGroup
from scanner.cli.context import Flags
from scanner.cli.exit_codes import ExitCode, sentence_and_code
from scanner.cli.output import print_error

# The panels of --help with the modules whose commands they hold, in the order of the help.
PANELS = (
    ("People", (enrolment, bulk_enrolment, people, withdrawal, consents)),
    ("Hubs", (hubs, hub_watch, listings, fetching, hash_lists)),
    ("Scanning", (scanning, retrosearch, copies, held_files)),
    ("Cases", (cases, case_reports, statistics)),
    ("Evidence and notices", (evidence, notices, notice_tracking)),
    ("Captures", (intake, captures, capture_pages)),
    ("Operation", (doctor, server, accounts, vault, audit, accuracy, calibration)),
    ("Try it", (demo, miniature)),
)

app = CommandGroup(
    "Tells whose face a public image model was trained to reproduce, and proves it.",
    name="portrait-scanner",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _modules in PANELS:
    for _module in _modules:
        _module.add_to(app, _panel)

# A pool that has given all its answers ends within milliseconds.
_END_S = 5.0


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"portrait-scanner {version('portrait-scanner')}")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Where this installation's data lives.", show_default="user data folder"),
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(
            help="commercial or research: checked against the face pack's licence.",
            show_default="commercial",
        ),
    ] = None,
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
    """Keep the options that every command accepts, before the command or behind it."""
    context.obj = Flags().joined({"home": home, "use": use, "device": device, "debug": debug})


def main() -> None:
    """Run the program: known errors become one sentence and an exit code, never a traceback."""
    debug = "--debug" in sys.argv
    os.umask(0o077)  # no other user of the machine may read faces, names and evidence
    try:
        app()
    except SystemExit as end:
        _exit(end.code)
    except Exception as error:  # the outermost frame: every error becomes a sentence here
        if debug:
            raise
        sentence, code = sentence_and_code(error)
        print_error(f"error: {sentence}")
        _exit(code)


def _exit(code: Any) -> NoReturn:
    """End the process, and at once where a thread still samples (scanner.scanning.workers).

    Python's own end would stop that thread inside torch, which aborts the process. Nothing is lost:
    a scan goes on from its store, however it was ended.
    """
    workers = sys.modules.get("scanner.scanning.workers")  # only a scan loads it
    stopped = code in (ExitCode.COULD_NOT_FINISH, ExitCode.STOPPED)
    if workers is not None and not workers.worker_threads_end(0.0 if stopped else _END_S):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or ExitCode.DONE)
    sys.exit(code)


if __name__ == "__main__":
    main()
