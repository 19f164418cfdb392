"""`approve`, `reject`, `withdraw`, `receipt`: an operator's decisions, and a person's last word."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    OperatorOption,
    new_file,
    print_json,
    write_text_file,
)

if TYPE_CHECKING:
    from face_index.vault.receipts import ErasureReceipt

NameArgument = Annotated[
    str, typer.Argument(help="Name, id or reference of the person.", metavar="NAME_OR_ID")
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("approve")(approve)
    app.command("reject")(reject)
    app.command("withdraw")(withdraw)
    app.command("receipt")(receipt)


def approve(
    context: typer.Context,
    name: NameArgument,
    proof: Annotated[str, typer.Option(help='What you saw: "passport", "power of attorney", ...')],
    operator: OperatorOption = None,
    proof_document: Annotated[
        Path | None,
        typer.Option(help="A copy of it; only its SHA-256 is kept.", exists=True, dir_okay=False),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Needed where the person looks like someone registered already.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Let a submitted person into the gallery, after checking who they are. Not by whoever submitted them."""
    from face_index.identity import Proof
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    who, now = operator or settings.operator, utc_now()
    sha256 = hashlib.sha256(proof_document.read_bytes()).hexdigest() if proof_document else None
    vault = open_vault(settings)
    identity = vault.enrolments.approve(
        name, who, Proof(proof, sha256, who, now), now, reason, two_people=settings.two_people
    )
    version = vault.gallery_version
    vault.close()
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "status": str(identity.status),
                "gallery_version": version,
            }
        )
    else:
        typer.echo(
            f"{identity.name} is active until {identity.consent.expires_on}; gallery version {version}."
        )
        if identity.is_minor(now.date()):
            typer.echo(f"A minor: not searched before {identity.adult_on}.")


def reject(
    context: typer.Context,
    name: NameArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log without the name.")],
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Refuse a submitted person: photos, template and name are erased, the reason stays."""
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    vault = open_vault(settings)
    erased = vault.enrolments.reject(name, operator or settings.operator, reason, utc_now())
    vault.close()
    _tell_erased(erased, None, as_json)


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
    """Erase a person's photos, template, key and name at once, here and in backups; the signed fact stays."""
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    if (name is None) != ended:
        raise typer.BadParameter(
            "give a name, or --ended for everyone whose consent has ended", param_hint="NAME_OR_ID"
        )
    if receipt:
        new_file(receipt)
    settings = flags.settings()
    who = operator or settings.operator
    vault = open_vault(settings)
    if name is not None:
        if not yes and sys.stdin.isatty():
            question = f"Erase {vault.people.find(name).name} for good, here and in every backup?"
            typer.confirm(question, abort=True, err=True)
        erased = vault.erasure.withdraw(name, utc_now(), who)
        vault.close()
        _tell_erased(erased, receipt, as_json)
        return
    gone = vault.erasure.withdraw_ended(utc_now(), who, clock_is_right=clock_is_right)
    vault.close()
    if receipt:
        write_text_file(
            receipt,
            "".join(json.dumps(one.to_document(), ensure_ascii=False) + "\n" for one in gone),
        )
    if as_json:
        print_json({"erased": [one.to_document() for one in gone]})
    else:
        typer.echo(f"{len(gone)} people whose consent had ended were erased.")


def _tell_erased(erased: ErasureReceipt, path: Path | None, as_json: bool) -> None:
    document = erased.to_document()
    if path:
        write_text_file(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        print_json(document)
        return
    typer.echo(
        f"Erased {erased.photos_erased} photos and {erased.templates_erased} template(s) of {erased.identity_id} "
        f"in {erased.seconds:.1f} s, and from {len(erased.backups_erased)} backup(s)."
    )
    for name in erased.backups_unreachable:
        typer.secho(
            f"The backup {name} is not where it was made: destroy it. A restore would refuse this person.",
            fg="yellow",
        )
    if path:
        typer.echo(f"The signed receipt is {path}; `portrait-scanner receipt {path}` checks it.")
    else:
        typer.echo(
            "The signed receipt is in the vault: `portrait-scanner vault erasures --out FILE` writes it out."
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
        told = [{"identity_id": one.identity_id, "erased_at": one.erased_at} for one in found]
        print_json({"valid": True, "receipts": told})
        return
    for one in found:
        typer.echo(f"Sound: {one.identity_id} was erased at {one.erased_at} ({one.why}).")
    if fingerprint is None:
        typer.echo(
            "Who signed it was not checked: compare with --fingerprint, as `portrait-scanner vault status` shows it."
        )
