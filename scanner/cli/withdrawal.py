"""`withdraw`, `receipt`: erasing a person, and checking the signed receipt."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import settings_of, vault_of
from scanner.cli.options import JsonFlag, OperatorOption, check_new_file
from scanner.cli.output import print_json, print_line, write_text_file

if TYPE_CHECKING:
    from face_index.vault import Vault
    from face_index.vault.receipts import ErasureReceipt
    from scanner.settings import Settings


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("withdraw", rich_help_panel=panel)(withdraw)
    app.command("receipt", rich_help_panel=panel)(receipt)


def withdraw(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Name, id or reference of the person.", metavar="NAME_OR_ID"),
    ] = None,
    ended: Annotated[
        bool, typer.Option("--ended", help="Everyone whose consent has ended.")
    ] = False,
    clock_is_right: Annotated[
        bool,
        typer.Option(
            "--clock-is-right",
            help="With --ended: nothing ran for a month, and the clock is right.",
        ),
    ] = False,
    receipt: Annotated[Path | None, typer.Option(help="Where to write the signed receipt.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; only a terminal is asked.")
    ] = False,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Erase a person at once, here and in every backup.

    Photos, template, key and name are erased; the signed fact of the erasure stays.
    """
    if (name is None) != ended:
        raise typer.BadParameter(
            "give a name, or --ended for everyone whose consent has ended", param_hint="NAME_OR_ID"
        )
    if receipt:
        check_new_file(receipt)
    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        if name is not None:
            erased = _withdraw_person(vault, name, settings, ask=not yes and sys.stdin.isatty())
        else:
            all_erased = _withdraw_ended(vault, settings, clock_is_right=clock_is_right)
    if name is not None:
        print_erasure(erased, receipt, as_json=as_json)
        return
    documents = [one.to_document() for one in all_erased]
    if receipt:
        lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
        write_text_file(receipt, "".join(lines))
    if as_json:
        print_json({"erased": documents})
    else:
        typer.echo(f"{len(documents)} people whose consent had ended were erased.")


def _withdraw_person(vault: Vault, name: str, settings: Settings, *, ask: bool) -> ErasureReceipt:
    from scanner.clock import utc_now

    if ask:
        question = f"Erase {vault.people.find(name).name} for good, here and in every backup?"
        typer.confirm(question, abort=True, err=True)
    return vault.erasure.withdraw(name, utc_now(), settings.operator)


def _withdraw_ended(
    vault: Vault, settings: Settings, *, clock_is_right: bool
) -> list[ErasureReceipt]:
    from scanner.clock import utc_now

    return vault.erasure.withdraw_ended(utc_now(), settings.operator, clock_is_right=clock_is_right)


def print_erasure(erased: ErasureReceipt, path: Path | None, *, as_json: bool) -> None:
    """Write the signed receipt to a file, if one is named, and print what was erased."""
    document = erased.to_document()
    if path:
        write_text_file(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        print_json(document)
        return
    typer.echo(
        f"Erased {erased.photos_erased} photos and {erased.templates_erased} template(s) of "
        f"{erased.identity_id} in {erased.seconds:.1f} s, and from {len(erased.backups_erased)} "
        "backup(s)."
    )
    for name in erased.backups_unreachable:
        print_line(
            f"The backup {name} is not where it was made: destroy it. "
            "A restore would refuse this person.",
            color="yellow",
        )
    if path:
        typer.echo(f"The signed receipt is {path}; `portrait-scanner receipt {path}` checks it.")
    else:
        typer.echo(
            "The signed receipt is in the vault: `portrait-scanner vault erasures --out FILE` "
            "writes it out."
        )


def receipt(
    file: Annotated[
        Path,
        typer.Argument(help="A receipt as written by `withdraw`.", exists=True, dir_okay=False),
    ],
    fingerprint: Annotated[
        str | None, typer.Option(help="Of the vault that must have signed it.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check an erasure receipt; needs no vault."""
    from face_index.vault.receipts import read_receipts, verify_receipt

    found = [verify_receipt(document, fingerprint) for document in read_receipts(file)]
    if as_json:
        receipts = [
            {"identity_id": erased.identity_id, "erased_at": erased.erased_at} for erased in found
        ]
        print_json({"valid": True, "receipts": receipts})
        return
    for erased in found:
        typer.echo(f"Sound: {erased.identity_id} was erased at {erased.erased_at} ({erased.why}).")
    if fingerprint is None:
        typer.echo(
            "Who signed it was not checked: compare with --fingerprint, as "
            "`portrait-scanner vault status` shows it."
        )
