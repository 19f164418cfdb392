"""`identities`, `re-embed`: who is stored, and their templates by another face pack."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    OperatorOption,
    UseOption,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from face_index.identity import Identity
    from face_index.vault import Vault


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("identities")(identities)
    app.command("re-embed")(re_embed)


def identities(
    context: typer.Context,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that an operator must decide on.")
    ] = False,
    operator: OperatorOption = None,
    expiring: Annotated[
        int | None, typer.Option(help="Only those whose consent ends within DAYS.", min=0)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List everyone stored: status, consent, terms; who waits for approval, whose consent ends soon.

    Whom somebody who waits looks like is shown to operators other than whoever submitted them; that it was is in the log.
    """
    from face_index.vault.duties import duties
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    vault, who, now = open_vault(settings), operator or settings.operator, utc_now()
    today = now.date()
    found = [
        one for one in vault.people.all() if not waiting or one.status in ("pending", "conflict")
    ]
    if expiring is not None:
        found = [one for one in found if one.consent.expires_within(expiring, today)]
    rows = [_row(one, _shown_to(vault, one, who, now), today) for one in found]
    warnings = duties(vault.people.count(), "en")
    vault.close()
    if as_json:
        print_json({"identities": rows, "warnings": warnings})
        return
    if not rows:
        typer.echo("Nobody to show; `portrait-scanner enroll NAME PHOTOS` submits someone.")
        return
    titles = ["name", "id", "status", "terms", "consent until", "photos", "submitted by"]
    names = ["name", "identity_id", "shown", "terms", "expires_on", "photos", "submitted_by"]
    print_table(titles, [[str(row[name]) for name in names] for row in rows])
    for row in rows:
        for other in row["looks_like"]:
            typer.echo(f"{row['name']} looks like {other['name']} (score {other['score']:.2f}).")
    for sentence in warnings:
        typer.secho(sentence, err=True, fg="yellow")


def _shown_to(vault: Vault, one: Identity, who: str, now: datetime) -> list[tuple[Identity, float]]:
    """Whom somebody who waits looks like, for whoever may decide about them."""
    from face_index.vault.logins import same_person

    if one.status != "conflict" or same_person(who, one.submitted_by):
        return []
    vault.audit.record("look-alikes shown", one.identity_id, who, now)
    return vault.people.lookalikes_of(one.identity_id)


def _row(one: Identity, others: list[tuple[Identity, float]], today: date) -> dict[str, Any]:
    expired = not one.consent.covers(today)
    status = "pending" if one.status == "conflict" and not others else str(one.status)
    return {
        "identity_id": one.identity_id, "name": one.name, "reference": one.reference, "active": one.is_active(today),
        "status": status, "shown": "expired" if expired else "minor" if one.is_minor(today) else status,
        "terms": str(one.consent.terms), "signed_by": one.consent.signed_by, "signatory": str(one.consent.signatory),
        "territories": list(one.consent.territories), "expires_on": one.consent.expires_on.isoformat(),
        "photos": one.photo_count, "photos_kept": one.photos_kept, "submitted_by": one.submitted_by,
        "decided_by": one.decided_by,
        "looks_like": [{"identity_id": other.identity_id, "name": other.name, "score": score} for other, score in others],
    }  # fmt: skip


def re_embed(
    context: typer.Context,
    operator: OperatorOption = None,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make everyone's template anew with the face pack in use, from the photos that were kept."""
    from face_index.registration.registration import reembed
    from scanner.factories import Reception

    flags: Flags = context.obj
    reception = Reception(flags.settings(face_pack=face_pack, use=use))
    result = reembed(
        reception.vault,
        reception.reader,
        operator or reception.settings.operator,
        reception.clock(),
        reception.calibration,
    )
    reception.close()
    if as_json:
        print_json(
            {
                "embedded": result.embedded,
                "without_photos": result.without_photos,
                "no_face": result.no_face,
            }
        )
    else:
        typer.echo(f"{len(result.embedded)} templates made with {reception.pack.name}.")
        for name in result.without_photos:
            typer.echo(f"  {name}: no photos were kept; enrol again")
        for name in result.no_face:
            typer.echo(
                f"  {name}: this pack finds no face in the photos that is surely theirs; enrol again with others"
            )
    if result.without_photos or result.no_face:
        raise typer.Exit(1)
