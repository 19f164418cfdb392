"""`vault`: backups, keys, and the state of what is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.context import case_service_of, settings_of, vault_of
from scanner.cli.options import JsonFlag, OperatorOption, check_new_file
from scanner.cli.output import (
    print_error,
    print_json,
    print_line,
    print_table,
    print_warning,
    write_text_file,
)

if TYPE_CHECKING:
    from face_index.vault import Vault

group = CommandGroup("Backups, keys and the state of what is stored.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `vault` to a panel."""
    app.add_typer(group, name="vault", rich_help_panel=panel)


@group.command("status")
def status(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Count the people stored, and show key and backups."""
    with vault_of(settings_of(context)) as vault:
        document = _status_document(vault)
    if as_json:
        print_json(document)
        return
    rows = [
        *((name, str(count)) for name, count in document["people"].items()),
        ("gallery version", str(document["gallery_version"])),
        ("master key in", document["key"]),
        ("bundles, receipts signed by", document["receipt_key_fingerprint"]),
        ("newest audit entry", document["audit_head"] or "none"),
        *(
            ("backup", f"{backup['path']} ({'there' if backup['there'] else 'NOT there'})")
            for backup in document["backups"]
        ),
    ]
    for name, value in rows:
        print_line(f"{name + ':':30} {value}")
    if document["people"]["consent ended"]:
        print_line(
            "Some consents have ended: `portrait-scanner withdraw --ended` erases those people.",
            color="yellow",
        )
    for sentence in document["warnings"]:
        print_warning(sentence)


def _status_document(vault: Vault) -> dict[str, Any]:
    """The JSON contract of `vault status`."""
    from face_index.vault.duties import duties
    from scanner.clock import utc_now

    people, today = vault.people.all(), utc_now().date()
    searched = [person.is_active(today) and not person.is_minor(today) for person in people]
    expiring = [
        person.consent.covers(today) and person.consent.expires_within(30, today)
        for person in people
    ]
    return {
        "people": {
            "stored": len(people),
            "searched": sum(searched),
            "waiting": sum(person.status in ("pending", "conflict") for person in people),
            "consent ended": sum(person.consent.expires_on < today for person in people),
            "consent ends within 30 days": sum(expiring),
            "erased so far": len(vault.erasure.rows()),
        },
        "gallery_version": vault.gallery_version,
        "key": vault.key_store.where,
        "receipt_key_fingerprint": vault.keys.fingerprint,
        "audit_head": vault.audit.head,
        "backups": [
            {"path": str(path), "made_at": made_at, "there": path.is_file()}
            for path, made_at in vault.backups.entries()
        ],
        "warnings": duties(len(people), "en"),
    }


@group.command("backup")
def backup(
    context: typer.Context,
    destination: Annotated[
        Path | None, typer.Argument(help="A folder or a new file. Default: beside the vault.")
    ] = None,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy the vault, sealed as it is.

    Keep the master key elsewhere: without it nobody can open a backup.
    """
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    if destination is None:
        settings.backups_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with vault_of(settings) as vault:
        path = vault.backups.make(
            destination or settings.backups_path, settings.operator, utc_now()
        )
    if as_json:
        print_json({"backup": str(path)})
    else:
        typer.echo(f"Backup: {path}. Leave it there: a withdrawal erases people from it as well.")


@group.command("restore")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)],
    receipts: Annotated[
        list[Path] | None,
        typer.Option(help="Erasure receipts kept elsewhere; may be given several times."),
    ] = None,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup in the vault's place.

    People who were erased since the backup stay erased, and the former file is kept.
    """
    from face_index.vault.restoration import restore as restore_backup
    from scanner.clock import utc_now
    from scanner.environment import system_login
    from scanner.factories import key_store, witnesses_of

    settings = settings_of(context, operator=operator or None)
    result = restore_backup(
        file,
        settings.vault_path,
        key_store(settings),
        receipts or [],
        settings.operator,
        utc_now(),
        witnesses_of(settings),
        system_login(),
    )
    if as_json:
        print_json(result.to_document())
        return
    typer.echo(
        f"{result.persons} people restored; {result.erased_again} erased since then stay erased."
    )
    if result.former_file:
        typer.echo(f"The former vault is {result.former_file}; delete it once you are sure.")
    for problem in result.audit_problems:
        print_error(f"Audit log of the backup: {problem}")


@group.command("rotate-key")
def rotate_key(context: typer.Context, operator: OperatorOption = None) -> None:
    """Give the vault and its backups a new master key.

    The old key is destroyed.
    """
    from face_index.vault.rotation import rotate_master_key
    from scanner.clock import utc_now

    settings = settings_of(context, operator=operator or None)
    with vault_of(settings) as vault:
        unreachable = rotate_master_key(vault, settings.operator, utc_now())
        where = vault.key_store.where
    if settings.next_master_key:
        typer.echo(
            "The vault has the new master key. Now move PORTRAIT_SCANNER_NEXT_MASTER_KEY to "
            "PORTRAIT_SCANNER_MASTER_KEY, everywhere the program runs, and keep a copy of it."
        )
    else:
        typer.echo(f"The vault has a new master key in {where}. Renew your copy of it.")
    for name in unreachable:
        print_line(
            f"The backup {name} could not be reached and still needs the old key: make a new one.",
            color="yellow",
        )


@group.command("check")
def check(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Read all that is stored, and report what is damaged.

    Checked are the file, every photo and template, the audit log, and every case against the log.
    """
    from face_index.vault.check import check_vault

    with case_service_of(settings_of(context)) as service:
        problems = [*check_vault(service.vault), *service.records.problems()]
    print_problems(
        problems,
        "The vault is sound, every photo and template in it opens, and every case is as the log "
        "says.",
        as_json=as_json,
    )


@group.command("repair")
def repair(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="How an older copy came there; kept in the log.")],
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Accept an older vault.db or cases.db that was put back.

    People who had been erased are erased again; older cases may stand.
    """
    from face_index.vault.repair import repair as repair_vault

    settings = settings_of(context)
    with case_service_of(settings) as service:
        vault, records, who = service.vault, service.records, operator or settings.operator
        problems = [*vault.rollback.findings.problems, *vault.erasure.erased_with_rows()]
        erased = repair_vault(vault, who, service.clock(), reason) if problems else []
        cases = records.accept_set_back(who, reason)
        left = [*vault.rollback.findings.problems, *records.problems()]
    if as_json:
        print_json(
            {
                "repaired": problems,
                "erased_again": erased,
                "cases_accepted": cases,
                "problems": left,
            }
        )
    else:
        typer.echo(
            f"{len(problems)} problems of the vault repaired; {len(erased)} people erased again; "
            f"{len(cases)} older cases stand."
        )
        for problem in left:
            print_error(problem)
    raise typer.Exit(3 if left else 0)


@group.command("erasures")
def erasures(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Write the signed receipts there, one JSON object a line.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List who was erased, by opaque id.

    With --out, the signed receipts are written to a file.
    """
    with vault_of(settings_of(context)) as vault:
        receipts = [json.loads(row["receipt"]) for row in vault.erasure.rows()]
    if out:
        check_new_file(out)
        lines = (json.dumps(receipt, ensure_ascii=False) + "\n" for receipt in receipts)
        write_text_file(out, "".join(lines))
    if as_json:
        print_json({"erasures": receipts})
        return
    rows = [
        [
            receipt["identity_id"],
            receipt["erased_at"][:19],
            receipt["why"],
            str(receipt["photos_erased"]),
        ]
        for receipt in receipts
    ]
    print_table(["id", "at (UTC)", "why", "photos"], rows)


def print_problems(problems: list[str], sound: str, *, as_json: bool) -> None:
    """Print problems, or the sentence `sound` where there is none; with problems, exit with 3."""
    if as_json:
        print_json({"sound": not problems, "problems": problems})
    elif not problems:
        typer.echo(sound)
    for problem in [] if as_json else problems:
        print_error(problem)
    if problems:
        raise typer.Exit(3)
