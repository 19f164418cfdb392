"""`audit`: who did what when, and whether that record is whole."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import settings_of, vault_of
from scanner.cli.options import JsonFlag, OperatorOption
from scanner.cli.output import print_json, print_table
from scanner.cli.vault import print_problems

group = CommandGroup("Who did what when, and whether that record is whole.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `audit` to a panel."""
    app.add_typer(group, name="audit", rich_help_panel=panel)


@group.command("show")
def show(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="How many entries, newest first.", min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show the audit log, newest entry first."""
    with vault_of(settings_of(context)) as vault:
        entries = list(islice(vault.audit.entries(newest_first=True), last))
    if as_json:
        print_json({"entries": [asdict(entry) for entry in entries]})
        return
    rows = [
        [str(entry.number), entry.at[:19], entry.actor, entry.event, entry.subject[:12]]
        for entry in entries
    ]
    print_table(["entry", "at (UTC)", "who", "what", "whom"], rows)


@group.command("verify")
def verify(
    context: typer.Context,
    expect: Annotated[
        str | None, typer.Option(help="Hash of an entry noted earlier, outside this machine.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check that no entry was changed, added or removed."""
    with vault_of(settings_of(context)) as vault:
        problems, head = vault.audit.problems(expect), vault.audit.head
    sound = f"The audit log is whole. Newest entry: {head or 'none'}"
    print_problems(problems, sound, as_json=as_json)


@group.command("accept-clock")
def accept_clock(
    context: typer.Context,
    reason: Annotated[
        str, typer.Option(help="What had been wrong with the clock; kept in the log.")
    ],
    operator: OperatorOption = None,
) -> None:
    """Accept the present time after the clock was ahead.

    The log records who accepted which time, and why.
    """
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        accepted = vault.audit.accept_clock(settings.operator, utc_now(), reason)
    typer.echo(
        "The log goes on from now."
        if accepted
        else "The newest entry is not later than the clock; nothing was written."
    )
