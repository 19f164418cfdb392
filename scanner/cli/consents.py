"""`consent`, `licence`: how long a person may be searched for, and what they allow others."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import settings_of, vault_of
from scanner.cli.enrolment import CONSENT_DAYS, agree
from scanner.cli.options import (
    JsonFlag,
    LanguageOption,
    OperatorOption,
    PersonArgument,
    check_language,
    date_from,
)
from scanner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from face_index.consent import LicenceKind

consents = CommandGroup("Show and renew consents, and change their terms.")
licences = CommandGroup("Models, uploaders and hubs that a person allows.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the groups of this module to a panel."""
    app.add_typer(consents, name="consent", rich_help_panel=panel)
    app.add_typer(licences, name="licence", rich_help_panel=panel)


@consents.command("show")
def show_consents(context: typer.Context, name: PersonArgument, as_json: JsonFlag = False) -> None:
    """Show a person's consents and the proofs that were seen.

    Receipts are shown oldest first.
    """
    with vault_of(settings_of(context)) as vault:
        identity = vault.people.find(name)
        receipts = vault.consents.history(identity.identity_id)
        proofs = vault.documents.proofs_of(identity.identity_id)
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
        [
            str(receipt.signed_on),
            str(receipt.expires_on),
            receipt.signed_by,
            str(receipt.signatory),
            str(receipt.terms),
            (receipt.document_sha256 or "on screen")[:12],
        ]
        for receipt in receipts
    ]
    print_table(["signed", "until", "by", "as", "terms", "document"], rows)
    newest = receipts[-1]
    print_line(f"Purpose: {newest.purpose}. Territories: {', '.join(newest.territories)}.")
    for proof in proofs:
        print_line(
            f"Proof: {proof.kind}, checked by {proof.checked_by} at "
            f"{proof.checked_at.isoformat(timespec='seconds')}."
        )


@consents.command("renew")
def renew_consent(
    context: typer.Context,
    name: PersonArgument,
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
    """Record a newer consent; the receipts before it stay."""
    from face_index.consent import CONSENT_TEXT_VERSION, Terms
    from scanner.clock import utc_now

    check_language(lang)
    if terms is not None and terms not in list(Terms):
        raise typer.BadParameter(
            f"{terms!r} is not one of {', '.join(Terms)}", param_hint="--terms"
        )
    settings, now = settings_of(context, operator=operator or None), utc_now()
    document = consent_document.read_bytes() if consent_document else None
    default_end = now.date() + timedelta(days=CONSENT_DAYS)
    with vault_of(settings) as vault:
        before = vault.people.find(name).consent
        consent = replace(
            before,
            signed_by=signed_by or before.signed_by,
            signed_on=now.date(),
            expires_on=date_from(expires, "--expires") if expires else default_end,
            document_sha256=None if document is None else hashlib.sha256(document).hexdigest(),
            text_version=CONSENT_TEXT_VERSION,
            terms=Terms(terms) if terms else before.terms,
        )
        agree(consent, lang, agreed=yes)
        identity = vault.consents.renew(name, consent, settings.operator, now)
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "expires_on": consent.expires_on,
                "terms": consent.terms,
            }
        )
    else:
        print_line(f"{identity.name}: consent until {consent.expires_on}, terms {consent.terms}.")


@licences.command("grant")
def grant(
    context: typer.Context,
    name: PersonArgument,
    until: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD.")],
    uploader: Annotated[str | None, typer.Option(help="An account, as hub:name.")] = None,
    model: Annotated[str | None, typer.Option(help="One file, by its SHA-256.")] = None,
    hub: Annotated[str | None, typer.Option(help="Everything on one hub.")] = None,
    note: Annotated[str, typer.Option(help="In the grantor's words.")] = "",
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Allow a model, an uploader or a hub until a day.

    What they make of this person then opens no case.
    """
    from scanner.clock import utc_now

    kind, value = _licensee(uploader, model, hub)
    last_day = _future_day(until, utc_now().date())
    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        licence = vault.licences.grant(
            name, kind, value, last_day, note=note, actor=settings.operator, now=utc_now()
        )
    if as_json:
        print_json(
            {"licence_id": licence.licence_id, "kind": kind, "value": value, "until": licence.until}
        )
    else:
        print_line(f"Licence {licence.licence_id[:8]}: {kind} {value} until {licence.until}.")


def _licensee(uploader: str | None, model: str | None, hub: str | None) -> tuple[LicenceKind, str]:
    """What is licensed; raises typer.BadParameter unless exactly one of the three is given."""
    from face_index.consent import LicenceKind

    options = (
        (LicenceKind.UPLOADER, uploader),
        (LicenceKind.MODEL, model),
        (LicenceKind.HUB, hub),
    )
    given = [(kind, value) for kind, value in options if value]
    if len(given) != 1:
        raise typer.BadParameter(
            "give one of --uploader, --model and --hub", param_hint="--uploader"
        )
    [(kind, value)] = given
    if kind == LicenceKind.UPLOADER and ":" not in value:
        raise typer.BadParameter(f"{value!r} is not hub:name", param_hint="--uploader")
    if kind == LicenceKind.MODEL and len(value) != 64:
        raise typer.BadParameter(f"{value!r} is not a SHA-256", param_hint="--model")
    return kind, value


def _future_day(text: str, today: date) -> date:
    day = date_from(text, "--until")
    if day < today:
        raise typer.BadParameter(f"{text} has passed", param_hint="--until")
    return day


@licences.command("list")
def list_licences(context: typer.Context, name: PersonArgument, as_json: JsonFlag = False) -> None:
    """List what a person allows."""
    with vault_of(settings_of(context)) as vault:
        found = vault.licences.list_for(vault.people.find(name).identity_id)
    if as_json:
        print_json({"licences": [dataclasses.asdict(licence) for licence in found]})
        return
    rows = [
        [
            licence.licence_id[:8],
            str(licence.kind),
            licence.value,
            str(licence.until),
            licence.note,
        ]
        for licence in found
    ]
    print_table(["id", "kind", "value", "until", "note"], rows)


@licences.command("revoke")
def revoke(
    context: typer.Context,
    licence_id: Annotated[str, typer.Argument(help="As `licence list` shows it.")],
    operator: OperatorOption = None,
) -> None:
    """End a licence now."""
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        vault.licences.revoke(licence_id, settings.operator, utc_now())
    print_line(f"Licence {licence_id} has ended.")
