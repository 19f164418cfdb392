"""`identities`, `approve`, `reject`, `re-embed`: who is registered, and decisions about them."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import enrolment_session_of, settings_of, vault_of
from scanner.cli.options import (
    AfterOption,
    FacePackOption,
    JsonFlag,
    LimitOption,
    OperatorOption,
    PersonArgument,
    page_size,
)
from scanner.cli.output import print_json, print_line, print_page_end, print_table, print_warning
from scanner.cli.withdrawal import print_erasure

if TYPE_CHECKING:
    from face_index.identity import Identity
    from face_index.vault import Vault


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("identities", rich_help_panel=panel)(identities)
    app.command("approve", rich_help_panel=panel)(approve)
    app.command("reject", rich_help_panel=panel)(reject)
    app.command("re-embed", rich_help_panel=panel)(re_embed)


def identities(
    context: typer.Context,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that an operator must decide on.")
    ] = False,
    operator: OperatorOption = None,
    expiring: Annotated[
        int | None, typer.Option(help="Only those whose consent ends within DAYS.", min=0)
    ] = None,
    words: Annotated[
        str, typer.Option("--search", help="A part of the name, reference or id.")
    ] = "",
    after: AfterOption = None,
    limit: LimitOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List everyone stored, by name: status, consent and terms.

    Operators other than the one who submitted a person also see whom that person looks like, if
    anybody; the audit log records that it was shown.
    """
    from face_index.vault.duties import duties
    from face_index.vault.people import PersonFilter
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    now = utc_now()
    today = now.date()
    wanted = PersonFilter(
        words,
        active=False if waiting else None,
        expires_by=None if expiring is None else today + timedelta(days=expiring),
    )
    with vault_of(settings) as vault:
        last = None if after is None else vault.people.find(after).identity_id
        size = page_size(limit, as_json=as_json) or -1
        found, total = vault.people.page(wanted, after=last, limit=size), vault.people.count(wanted)
        rows = [
            _row(identity, _lookalikes_shown(vault, identity, settings.operator, now), today)
            for identity in found
        ]
        warnings = duties(vault.people.count(), "en")
    if as_json:
        print_json({"identities": rows, "total": total, "warnings": warnings})
        return
    if not rows:
        typer.echo("Nobody to show; `portrait-scanner enroll NAME PHOTOS` submits someone.")
        return
    titles = ["name", "id", "status", "terms", "consent until", "photos", "submitted by"]
    names = ["name", "identity_id", "shown", "terms", "expires_on", "photos", "submitted_by"]
    print_table(titles, [[str(row[name]) for name in names] for row in rows])
    for row in rows:
        for other in row["looks_like"]:
            print_line(f"{row['name']} looks like {other['name']} (score {other['score']:.2f}).")
    if len(found) == size:
        print_page_end(len(found), total, f"--after {found[-1].identity_id}")
    for sentence in warnings:
        print_warning(sentence)


def _lookalikes_shown(
    vault: Vault, identity: Identity, operator: str, now: datetime
) -> list[tuple[Identity, float]]:
    """Whom a waiting person looks like, for operators who may decide about them."""
    from face_index.vault.logins import same_person

    if identity.status != "conflict" or same_person(operator, identity.submitted_by):
        return []
    vault.audit.record("look-alikes shown", identity.identity_id, operator, now)
    return vault.people.lookalikes_of(identity.identity_id)


def _row(
    identity: Identity, lookalikes: list[tuple[Identity, float]], today: date
) -> dict[str, Any]:
    """A person in the JSON contract of `identities`."""
    consent = identity.consent
    status = "pending" if identity.status == "conflict" and not lookalikes else str(identity.status)
    minor_or_status = "minor" if identity.is_minor(today) else status
    return {
        "identity_id": identity.identity_id,
        "name": identity.name,
        "reference": identity.reference,
        "active": identity.is_active(today),
        "status": status,
        "shown": minor_or_status if consent.covers(today) else "expired",
        "terms": str(consent.terms),
        "signed_by": consent.signed_by,
        "signatory": str(consent.signatory),
        "territories": list(consent.territories),
        "expires_on": consent.expires_on.isoformat(),
        "photos": identity.photo_count,
        "photos_kept": identity.photos_kept,
        "submitted_by": identity.submitted_by,
        "decided_by": identity.decided_by,
        "looks_like": [
            {"identity_id": other.identity_id, "name": other.name, "score": score}
            for other, score in lookalikes
        ],
    }


def approve(
    context: typer.Context,
    name: PersonArgument,
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
    """Let a submitted person into the gallery.

    Approve after checking who they are. The operator who submitted a person may not approve them.
    """
    from face_index.identity import Proof
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    who, now = settings.operator, utc_now()
    sha256 = hashlib.sha256(proof_document.read_bytes()).hexdigest() if proof_document else None
    with vault_of(settings) as vault:
        identity = vault.enrolments.approve(
            name, who, Proof(proof, sha256, who, now), now, reason, two_people=settings.two_people
        )
        version = vault.gallery_version
    if as_json:
        print_json(
            {
                "identity_id": identity.identity_id,
                "status": str(identity.status),
                "gallery_version": version,
            }
        )
        return
    expires_on = identity.consent.expires_on
    print_line(f"{identity.name} is active until {expires_on}; gallery version {version}.")
    if identity.is_minor(now.date()):
        typer.echo(f"A minor: not searched before {identity.adult_on}.")


def reject(
    context: typer.Context,
    name: PersonArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log without the name.")],
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Refuse a submitted person and erase what was submitted.

    Photos, template and name are erased; the reason stays.
    """
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        erased = vault.enrolments.reject(name, settings.operator, reason, utc_now())
    print_erasure(erased, None, as_json=as_json)


def re_embed(
    context: typer.Context,
    operator: OperatorOption = None,
    face_pack: FacePackOption = None,
    second_pack: Annotated[
        str | None,
        typer.Option(help="Another face pack, for second opinions: add its templates."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make all templates anew with the face pack in use.

    Templates are made from the photos that were kept. With --second-pack templates of that pack are
    added, and those of the pack in use stay.
    """
    from face_index.registration.registration import reembed

    if second_pack is not None and face_pack is not None:
        raise typer.BadParameter("give one of --face-pack and --second-pack")
    pack = face_pack if second_pack is None else second_pack
    settings = settings_of(context, face_pack=pack, operator=operator or None)
    with enrolment_session_of(settings) as session:
        result = reembed(
            session.vault,
            session.faces.reader,
            settings.operator,
            session.clock(),
            session.faces.calibration,
            keep_others=second_pack is not None,
        )
        pack_name = session.faces.pack.name
    if as_json:
        print_json(
            {
                "embedded": result.embedded,
                "without_photos": result.without_photos,
                "no_face": result.no_face,
            }
        )
    else:
        typer.echo(f"{len(result.embedded)} templates made with {pack_name}.")
        for name in result.without_photos:
            print_line(f"  {name}: no photos were kept; enrol again")
        for name in result.no_face:
            print_line(
                f"  {name}: this pack finds no face in the photos that is surely theirs; "
                "enrol again with others"
            )
    if result.without_photos or result.no_face:
        raise typer.Exit(1)
