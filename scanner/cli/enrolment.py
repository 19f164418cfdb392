"""`enroll`, `identities`, `withdraw`: who is protected."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import FacePackOption, Flags, JsonFlag, UseOption, print_json

if TYPE_CHECKING:
    from face_index.enrolment import EnrolmentReport


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("enroll")(enroll)
    app.command("identities")(identities)
    app.command("withdraw")(withdraw)


def enroll(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name results will carry.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos of this person, or folders of them.", exists=True)],
    signed_by: Annotated[
        str | None, typer.Option(help="Who consents: the person, a guardian or an agent. Default: NAME.")
    ] = None,
    consent_document: Annotated[
        Path | None, typer.Option(help="The signed consent; its SHA-256 is kept.", exists=True)
    ] = None,
    terms: Annotated[
        str, typer.Option(help="prohibited, permitted-with-terms or permitted: what others may do.")
    ] = "prohibited",
    expires: Annotated[
        str | None, typer.Option(help="Last day of the consent, YYYY-MM-DD. Default: two years from today.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="The consent text was read and agreed to; do not ask.")] = False,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Register a person's likeness, with their consent, from three or more photos."""
    from face_index.consent import CONSENT_TEXT, CONSENT_TEXT_VERSION, Consent, Terms
    from face_index.enrolment import make_template, photos_in
    from face_index.errors import ConsentMissing, EnrolmentRefused
    from scanner.workshop import open_pack, open_reader, open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings(face_pack=face_pack, use=use)
    if terms not in list(Terms):
        raise typer.BadParameter(f"{terms!r} is not one of {', '.join(Terms)}", param_hint="--terms")
    now = utc_now()
    last_day = _day(expires) if expires else now.date() + timedelta(days=730)
    if consent_document is None and not yes:
        typer.echo(f"{CONSENT_TEXT['en']}\n\n{CONSENT_TEXT['zh-CN']}\n", err=True)
        if not typer.confirm(f"Does {signed_by or name} agree?", err=True):
            raise ConsentMissing("without consent nobody is registered")
    document = hashlib.sha256(consent_document.read_bytes()).hexdigest() if consent_document else None
    consent = Consent(signed_by or name, now.date(), last_day, document, CONSENT_TEXT_VERSION, Terms(terms))
    pack = open_pack(settings)
    reader = open_reader(settings, pack)
    try:
        template = make_template(reader, pack.bar, photos_in(photos))
    except EnrolmentRefused as error:
        _print_photos(error.report)
        raise
    vault = open_vault(settings)
    identity = vault.add(
        name, consent, template.vector, reader.version, [path.read_bytes() for path in template.photos], now
    )
    vault.close()
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id, "name": name, "accepted": template.report.accepted,
                "photos": [{"name": verdict.name, "reason": verdict.reason} for verdict in template.report.photos],
                "face_pack": pack.name, "licence": pack.licence, "expires_on": last_day.isoformat(),
            }
        )  # fmt: skip
        return
    _print_photos(template.report)
    typer.echo(
        f"{name} is registered as {identity.identity_id} from {template.report.accepted} photos until {last_day}."
    )
    typer.echo(f"Face pack {pack.name}: {pack.licence}.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date like 2028-01-31", param_hint="--expires") from None


def _print_photos(report: EnrolmentReport) -> None:
    for verdict in report.photos:
        typer.echo(f"  {verdict.name}: {verdict.reason or 'accepted'}", err=True)


def identities(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List everyone registered, with their consent and terms."""
    from rich.console import Console
    from rich.table import Table

    from scanner.workshop import open_vault, utc_now

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    found = vault.identities()
    vault.close()
    today = utc_now().date()
    if as_json:
        rows = [
            {
                "identity_id": one.identity_id, "name": one.name, "active": one.is_active(today), "terms": str(one.consent.terms),
                "signed_by": one.consent.signed_by, "expires_on": one.consent.expires_on.isoformat(), "photos": one.photo_count,
            }
            for one in found
        ]  # fmt: skip
        print_json({"identities": rows})
        return
    if not found:
        typer.echo("Nobody is registered yet; `portrait-scanner enroll NAME PHOTOS` registers someone.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold underline")
    for title in ("name", "id", "active", "terms", "consent until", "photos"):
        table.add_column(title, overflow="fold")
    for one in found:
        table.add_row(
            one.name,
            one.identity_id,
            "yes" if one.is_active(today) else "expired",
            str(one.consent.terms),
            str(one.consent.expires_on),
            str(one.photo_count),
        )
    Console().print(table)


def withdraw(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name or id of the person who withdraws.", metavar="NAME_OR_ID")],
    as_json: JsonFlag = False,
) -> None:
    """Erase a person's photos, template, key and name at once; only the fact and date stay."""
    from scanner.workshop import open_vault, utc_now

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    receipt = vault.withdraw(name, utc_now())
    vault.close()
    if as_json:
        print_json(
            {
                "identity_id": receipt.identity_id, "erased_at": receipt.erased_at.isoformat(),
                "photos_erased": receipt.photos_erased, "templates_erased": receipt.templates_erased,
            }
        )  # fmt: skip
        return
    typer.echo(
        f"Erased {receipt.photos_erased} photos and {receipt.templates_erased} template(s) of {receipt.identity_id} "
        f"at {receipt.erased_at.isoformat(timespec='seconds')}. Keep this as the receipt."
    )
