"""`held`: files that name a registered minor, which are never sampled, and decisions about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import held_files_of, settings_of
from scanner.cli.options import JsonFlag, LimitOption, page_size
from scanner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from scanner.scanning.held_files import HeldFile

group = CommandGroup("Held files: files that name a registered minor.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group of this module to a panel."""
    app.add_typer(group, name="held", rich_help_panel=panel)


@group.command("list")
def list_held(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that somebody settled.")
    ] = False,
    limit: LimitOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List files that are held because they name a registered minor.

    The likeliest likeness comes first.
    """
    with held_files_of(settings_of(context)) as session:
        matching = [
            file for file in session.held.all(session.minors.ids) if everything or not file.settled
        ]
        found = matching[: page_size(limit, as_json=as_json)]
        names = {
            file.identity_id: session.vault.people.find(file.identity_id).name for file in found
        }
    if as_json:
        documents = [
            {
                **asdict(file),
                "child": names[file.identity_id],
                "lifted": file.lifted,
                "settled": file.settled,
            }
            for file in found
        ]
        print_json({"held": documents, "total": len(matching)})
        return
    if not found:
        typer.echo("No held file waits for anybody.")
        return
    print_table(
        ("id", "likeness", "file", "listing", "title", "names", "in", "looks"),
        [_row(file, names[file.identity_id]) for file in found],
    )
    if len(found) < len(matching):
        print_line(f"{len(found):,} of {len(matching):,}. See all with --limit 0.")
    typer.echo("Look at the listing, then say what you saw: portrait-scanner held review ID --help")


def _row(file: HeldFile, child: str) -> tuple[str, ...]:
    looks = "; ".join(f"{look.by}: {look.decision}" for look in file.looks)
    return (
        file.key,
        f"{file.likeness:.2f}",
        file.file,
        f"{file.hub}:{file.listing_id}",
        file.title,
        child,
        ", ".join(file.places),
        looks or "nobody yet",
    )


@group.command("review")
@group.command("look", hidden=True)  # the former name
def review(
    context: typer.Context,
    held_file: Annotated[str, typer.Argument(help="As `held list` shows it.", metavar="ID")],
    by: Annotated[str, typer.Option(help="Who looked.")],
    decision: Annotated[
        str,
        typer.Option(
            help="keep: the file shows or may show the child. somebody-else: an adult is meant; "
            "two people must say so."
        ),
    ],
    reason: Annotated[str, typer.Option(help="What you saw.")],
) -> None:
    """Record what somebody saw who looked at a held file.

    A file is sampled only after two people said that somebody else is meant.
    """
    from scanner.clock import utc_now

    with held_files_of(settings_of(context)) as session:
        found = session.held.look(
            held_file, session.minors.ids, by, by, decision, reason, utc_now(), session.login
        )
    if found.lifted:
        typer.echo("Two people say that somebody else is meant: the next scan samples it.")
    else:
        typer.echo(
            "Noted. It stays held" + ("." if found.settled else ", and waits for a second person.")
        )
