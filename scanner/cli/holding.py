"""`held`: files that name a registered minor, never sampled, for those who look at them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import Flags, JsonFlag, command_group, print_json, print_table, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from face_index.vault.logins import Login
    from scanner.scanning.held_files import HeldFile, HeldFiles
    from scanner.triage.minors import RegisteredMinors

group = command_group(
    "Files that name a registered minor: what waits for somebody to look, and what they said."
)


@group.command("list")
def listed(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that somebody settled.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Files that are held since they name a registered minor: the likeliest likeness first."""
    from dataclasses import asdict

    with _opened(context) as (held, minors, names, *_):
        found = [one for one in held.all(minors.ids) if everything or not one.settled]
        told = {one.identity_id: names(one.identity_id) for one in found}
    if as_json:
        print_json({"held": [{**asdict(one), "child": told[one.identity_id], "lifted": one.lifted, "settled": one.settled} for one in found]})  # fmt: skip
        return
    if not found:
        typer.echo("No held file waits for anybody.")
        return
    print_table(
        ("id", "likeness", "file", "listing", "title", "names", "in", "looks"),
        [
            (
                one.key, f"{one.likeness:.2f}", one.file, f"{one.hub}:{one.listing_id}", one.title, told[one.identity_id],
                ", ".join(one.places), _looks_of(one),
            )
            for one in found
        ],
    )  # fmt: skip
    typer.echo("Look at the listing, then say what you saw: portrait-scanner held look ID --help")


@group.command("look")
def look(
    context: typer.Context,
    held_file: Annotated[str, typer.Argument(help="As `held list` shows it.", metavar="ID")],
    by: Annotated[str, typer.Option(help="Who looked.")],
    decision: Annotated[
        str,
        typer.Option(
            help="keep: it shows the child, or may. somebody-else: an adult is meant; two people must say so."
        ),
    ],
    reason: Annotated[str, typer.Option(help="What you saw.")],
) -> None:
    """Note that somebody looked at a held file, and what they say of it; nothing is sampled by that alone."""
    with _opened(context) as (held, minors, _, now, login):
        found = held.look(held_file, minors.ids, by, by, decision, reason, now, login)
    if found.lifted:
        typer.echo("Two people say that somebody else is meant: the next scan samples it.")
    else:
        typer.echo(
            "Noted. It stays held" + ("." if found.settled else ", and waits for a second person.")
        )


@contextmanager
def _opened(
    context: typer.Context,
) -> Iterator[tuple[HeldFiles, RegisteredMinors, Callable[[str], str], datetime, Login]]:
    """The queue, who is looked for, what they are called, the time, and who is logged in."""
    from scanner.factories import open_vault, utc_now
    from scanner.scanning.held_files import HeldFiles
    from scanner.scanning.scan_store import ScanStore
    from scanner.triage.minors import RegisteredMinors

    flags: Flags = context.obj
    settings = flags.settings()
    vault, scan_store = open_vault(settings), ScanStore(settings.scans_path)
    try:
        minors = RegisteredMinors(vault, utc_now)
        login = vault.audit.login if settings.two_people else ()
        yield (
            HeldFiles(scan_store, vault),
            minors,
            lambda identity_id: vault.people.find(identity_id).name,
            utc_now(),
            login,
        )
    finally:
        scan_store.close()
        vault.close()


def _looks_of(one: HeldFile) -> str:
    return "; ".join(visible(f"{look.by}: {look.decision}") for look in one.looks) or "nobody yet"
