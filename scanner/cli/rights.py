"""`consent` and `licence`: how long a person may be searched, and what they allow others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    LanguageOption,
    OperatorOption,
    check_language,
    command_group,
    day_of,
    print_json,
    print_table,
)
from scanner.cli.enrolment import agree

consents = command_group("Receipts: show, renew, change the terms.")
licences = command_group("Models, uploaders and hubs that a person allows.")
NameArgument = Annotated[
    str, typer.Argument(help="Name, id or reference of the person.", metavar="NAME_OR_ID")
]


@consents.command("show")
def show_consents(context: typer.Context, name: NameArgument, as_json: JsonFlag = False) -> None:
    """Every consent receipt of a person, oldest first, and what was seen as proof."""
    import dataclasses

    from scanner.factories import open_vault

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    identity = vault.people.find(name)
    receipts = vault.consents.history(identity.identity_id)
    proofs = vault.documents.proofs_of(identity.identity_id)
    vault.close()
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "consents": [dataclasses.asdict(receipt) for receipt in receipts],
                "proofs": [dataclasses.asdict(proof) for proof in proofs],
            }
        )
        return
    rows = [
        [str(one.signed_on), str(one.expires_on), one.signed_by, str(one.signatory), str(one.terms), (one.document_sha256 or "on screen")[:12]]
        for one in receipts
    ]  # fmt: skip
    print_table(["signed", "until", "by", "as", "terms", "document"], rows)
    typer.echo(
        f"Purpose: {receipts[-1].purpose}. Territories: {', '.join(receipts[-1].territories)}."
    )
    for proof in proofs:
        typer.echo(
            f"Proof: {proof.kind}, checked by {proof.checked_by} at {proof.checked_at.isoformat(timespec='seconds')}."
        )


@consents.command("renew")
def renew_consent(
    context: typer.Context,
    name: NameArgument,
    expires: Annotated[
        str | None, typer.Option(help="New last day. Default: two years from today.")
    ] = None,
    terms: Annotated[
        str | None, typer.Option(help="prohibited, permitted-with-terms or permitted.")
    ] = None,
    signed_by: Annotated[str | None, typer.Option(help="Default: who signed before.")] = None,
    consent_document: Annotated[
        Path | None, typer.Option(help="The newly signed consent.", exists=True)
    ] = None,
    operator: OperatorOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="The consent text was read and agreed to; do not ask.")
    ] = False,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Record a newer consent with other dates or terms; the receipts before it stay."""
    from face_index.consent import CONSENT_TEXT_VERSION, Terms
    from scanner.factories import open_vault, utc_now

    check_language(lang)
    if terms is not None and terms not in list(Terms):
        raise typer.BadParameter(
            f"{terms!r} is not one of {', '.join(Terms)}", param_hint="--terms"
        )
    flags: Flags = context.obj
    settings = flags.settings()
    now = utc_now()
    vault = open_vault(settings)
    old = vault.people.find(name).consent
    sha256 = hashlib.sha256(consent_document.read_bytes()).hexdigest() if consent_document else None
    consent = replace(
        old,
        signed_by=signed_by or old.signed_by,
        signed_on=now.date(),
        expires_on=day_of(expires, "--expires") if expires else now.date() + timedelta(days=730),
        document_sha256=sha256,
        text_version=CONSENT_TEXT_VERSION,
        terms=Terms(terms) if terms else old.terms,
    )
    agree(consent, yes, lang)
    identity = vault.consents.renew(name, consent, operator or settings.operator, now)
    vault.close()
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "expires_on": consent.expires_on,
                "terms": consent.terms,
            }
        )
    else:
        typer.echo(f"{identity.name}: consent until {consent.expires_on}, terms {consent.terms}.")


@licences.command("grant")
def grant(
    context: typer.Context,
    name: NameArgument,
    until: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD.")],
    uploader: Annotated[str | None, typer.Option(help="An account, as hub:name.")] = None,
    model: Annotated[str | None, typer.Option(help="One file, by its SHA-256.")] = None,
    hub: Annotated[str | None, typer.Option(help="Everything on one hub.")] = None,
    note: Annotated[str, typer.Option(help="In the grantor's words.")] = "",
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Allow a model, an uploader or a hub until a day: what they make of this person opens no case."""
    from face_index.consent import LicenceKind
    from scanner.factories import open_vault, utc_now

    given = [
        (kind, value)
        for kind, value in (
            (LicenceKind.UPLOADER, uploader),
            (LicenceKind.MODEL, model),
            (LicenceKind.HUB, hub),
        )
        if value
    ]
    if len(given) != 1:
        raise typer.BadParameter(
            "give one of --uploader, --model and --hub", param_hint="--uploader"
        )
    [(kind, value)] = given
    if kind == LicenceKind.UPLOADER and ":" not in value:
        raise typer.BadParameter(f"{value!r} is not hub:name", param_hint="--uploader")
    if kind == LicenceKind.MODEL and len(value) != 64:
        raise typer.BadParameter(f"{value!r} is not a SHA-256", param_hint="--model")
    last_day = day_of(until, "--until")
    if last_day < utc_now().date():
        raise typer.BadParameter(f"{until} has passed", param_hint="--until")
    flags: Flags = context.obj
    settings = flags.settings()
    vault = open_vault(settings)
    licence = vault.licences.grant(
        name,
        kind,
        value,
        last_day,
        note=note,
        actor=operator or settings.operator,
        now=utc_now(),
    )
    vault.close()
    if as_json:
        print_json(
            {"licence_id": licence.licence_id, "kind": kind, "value": value, "until": licence.until}
        )
    else:
        typer.echo(f"Licence {licence.licence_id[:8]}: {kind} {value} until {licence.until}.")


@licences.command("list")
def list_licences(context: typer.Context, name: NameArgument, as_json: JsonFlag = False) -> None:
    """What a person allows."""
    import dataclasses

    from scanner.factories import open_vault

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    found = vault.licences.list_for(vault.people.find(name).identity_id)
    vault.close()
    if as_json:
        print_json({"licences": [dataclasses.asdict(one) for one in found]})
    else:
        rows = [
            [one.licence_id[:8], str(one.kind), one.value, str(one.until), one.note]
            for one in found
        ]
        print_table(["id", "kind", "value", "until", "note"], rows)


@licences.command("revoke")
def revoke(
    context: typer.Context,
    licence_id: Annotated[str, typer.Argument(help="As `licence list` shows it.")],
    operator: OperatorOption = None,
) -> None:
    """End a licence now."""
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    vault = open_vault(settings)
    vault.licences.revoke(licence_id, operator or settings.operator, utc_now())
    vault.close()
    typer.echo(f"Licence {licence_id} has ended.")
