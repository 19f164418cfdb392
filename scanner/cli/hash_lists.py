"""`hash-list`: signed lists of confirmed files' hashes and fingerprints, shared between hubs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import case_service_of, settings_of
from scanner.cli.options import JsonFlag, SignerOption
from scanner.cli.output import counted, print_json, print_line, print_table, write_text_file

group = CommandGroup("Signed lists of confirmed files, to share without any face.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.add_typer(group, name="hash-list", rich_help_panel=panel)


@group.command("export")
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    source: Annotated[str, typer.Option(help="The name under which others know this list.")],
    as_json: JsonFlag = False,
) -> None:
    """Write the hashes and fingerprints of all confirmed files.

    Cases that were confirmed once and no longer are stand in it as withdrawn.
    """
    from scanner.factories.fingerprints import open_fingerprinter

    settings = settings_of(context)
    with case_service_of(settings) as service, open_fingerprinter(settings) as fingerprinter:
        document = service.hash_list(fingerprinter.store, source)
        write_text_file(out, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        key_sha256 = service.vault.keys.fingerprint
    records = document["hashRecords"]
    withdrawn = sum(record["hashStatus"] == "Withdrawn" for record in records)
    if as_json:
        facts = {"records": len(records), "withdrawn": withdrawn, "key_sha256": key_sha256}
        print_json({"path": str(out), **facts})
        return
    print_line(f"{counted(len(records), 'record')}, {withdrawn} withdrawn: {out}")
    print_line(f"Signed with the key whose SHA-256 is {key_sha256}.")


@group.command("import")
def import_list(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            help="A list of another installation.", metavar="FILE", exists=True, dir_okay=False
        ),
    ],
    signer: SignerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take over a list, in place of the one that the same key signed before.

    Files that derive from a listed file become `possible`; a person must look at them. The first
    list of a key needs --signer, which its owner tells you on another way.
    """
    from scanner.casework.hash_lists import import_hash_list
    from scanner.clock import utc_now
    from scanner.factories.fingerprints import open_fingerprinter

    with open_fingerprinter(settings_of(context)) as fingerprinter:
        taken = import_hash_list(fingerprinter.store, path.read_bytes(), signer, utc_now())
    issued_at = taken.issued_at.isoformat()
    facts = {"source": taken.source, "key_sha256": taken.key_sha256, "issued_at": issued_at}
    if as_json:
        print_json({**facts, "files": len(taken.files), "withdrawn": len(taken.withdrawn)})
        return
    print_line(
        f"{counted(len(taken.files), 'file')} of {taken.source}, issued at {issued_at}; "
        f"{len(taken.withdrawn)} withdrawn."
    )


@group.command("show")
def show(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show the lists that were imported."""
    from scanner.factories.fingerprints import open_fingerprinter

    with open_fingerprinter(settings_of(context)) as fingerprinter:
        lists = fingerprinter.store.lists()
    if as_json:
        print_json({"lists": lists})
        return
    print_table(
        ["source", "issued at", "files", "key"],
        [[row["source"], row["issued_at"], str(row["files"]), row["key_sha256"]] for row in lists],
        numbers=("files",),
    )
