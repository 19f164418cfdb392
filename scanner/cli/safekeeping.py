"""`vault` and `audit`: backups, keys, the state of what is stored, and who did what when."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    OperatorOption,
    command_group,
    new_file,
    print_json,
    print_table,
    write_text_file,
)

vault_group = command_group("Backups, keys and the state of what is stored.")
audit_group = command_group("Who did what when, and whether that record is whole.")


@vault_group.command("status")
def status(context: typer.Context, as_json: JsonFlag = False) -> None:
    """How many people are stored, under which key, with which backups."""
    from face_index.vault.duties import duties
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    people, today = vault.people.all(), utc_now().date()
    counts = {
        "stored": len(people),
        "searched": sum(one.is_active(today) and not one.is_minor(today) for one in people),
        "waiting": sum(one.status in ("pending", "conflict") for one in people),
        "consent ended": sum(one.consent.expires_on < today for one in people),
        "consent ends within 30 days": sum(
            one.consent.covers(today) and one.consent.expires_within(30, today) for one in people
        ),
        "erased so far": len(vault.erasure.rows()),
    }
    document: dict[str, Any] = {
        "people": counts,
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
    vault.close()
    if as_json:
        print_json(document)
        return
    for name, count in counts.items():
        typer.echo(f"{name + ':':30} {count}")
    typer.echo(f"{'gallery version:':30} {document['gallery_version']}")
    typer.echo(f"{'master key in:':30} {document['key']}")
    typer.echo(f"{'bundles, receipts signed by:':30} {document['receipt_key_fingerprint']}")
    typer.echo(f"{'newest audit entry:':30} {document['audit_head'] or 'none'}")
    for backup in document["backups"]:
        typer.echo(
            f"{'backup:':30} {backup['path']} ({'there' if backup['there'] else 'NOT there'})"
        )
    if counts["consent ended"]:
        typer.secho(
            "Some consents have ended: `portrait-scanner withdraw --ended` erases those people.",
            fg="yellow",
        )
    for sentence in document["warnings"]:
        typer.secho(sentence, err=True, fg="yellow")


@vault_group.command("backup")
def backup(
    context: typer.Context,
    destination: Annotated[
        Path | None, typer.Argument(help="A folder or a new file. Default: beside the vault.")
    ] = None,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy the vault, sealed as it is. Keep the master key elsewhere: a backup without it opens for nobody."""
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    if destination is None:
        settings.backups_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    vault = open_vault(settings)
    path = vault.backups.make(
        destination or settings.backups_path, operator or settings.operator, utc_now()
    )
    vault.close()
    if as_json:
        print_json({"backup": str(path)})
    else:
        typer.echo(f"Backup: {path}. Leave it there: a withdrawal erases people from it as well.")


@vault_group.command("restore")
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
    """Put a backup in the vault's place; whoever was erased since stays erased, the former file is kept."""
    from face_index.vault.restoration import restore as restore_backup
    from scanner.factories import key_store, utc_now, witnesses_of
    from scanner.logins import system_login

    flags: Flags = context.obj
    settings = flags.settings()
    result = restore_backup(
        file, settings.vault_path, key_store(settings), receipts or [], operator or settings.operator, utc_now(),
        witnesses_of(settings), system_login(),
    )  # fmt: skip
    if as_json:
        print_json(result.to_document())
        return
    typer.echo(
        f"{result.persons} people restored; {result.erased_again} erased since then stay erased."
    )
    if result.former_file:
        typer.echo(f"The former vault is {result.former_file}; delete it once you are sure.")
    for problem in result.audit_problems:
        typer.secho(f"Audit log of the backup: {problem}", err=True, fg="red")


@vault_group.command("rotate-key")
def rotate_key(context: typer.Context, operator: OperatorOption = None) -> None:
    """Give the vault and its backups a new master key and destroy the old one."""
    from face_index.vault.rotation import rotate_master_key
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    vault = open_vault(settings)
    unreachable = rotate_master_key(vault, operator or settings.operator, utc_now())
    vault.close()
    if settings.next_master_key:
        typer.echo(
            "The vault has the new master key. Now move PORTRAIT_SCANNER_NEXT_MASTER_KEY to PORTRAIT_SCANNER_MASTER_KEY, "
            "everywhere the program runs, and keep a copy of it."
        )
    else:
        typer.echo(
            f"The vault has a new master key in {vault.key_store.where}. Renew your copy of it."
        )
    for name in unreachable:
        typer.secho(
            f"The backup {name} could not be reached and still needs the old key: make a new one.",
            fg="yellow",
        )


@vault_group.command("check")
def check(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Read everything: is the file sound, does every photo and template open, are the log and every case as it says."""
    from face_index.vault.check import check_vault
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    service = CaseService(flags.settings())
    problems = [*check_vault(service.vault), *service.records.problems()]
    service.close()
    _tell_problems(
        problems,
        "The vault is sound, every photo and template in it opens, and every case is as the log says.",
        as_json,
    )


@vault_group.command("repair")
def repair(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="How an older copy came there; kept in the log.")],
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on after an older vault.db or cases.db was put back: whoever was erased is erased again, older cases may stand."""
    from face_index.vault.repair import repair as repair_vault
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    settings = flags.settings()
    service = CaseService(settings)
    who = operator or settings.operator
    had = [*service.vault.rollback.findings.problems, *service.vault.erasure.erased_with_rows()]
    erased = repair_vault(service.vault, who, service.clock(), reason) if had else []
    cases = service.records.accept_set_back(who, reason)
    left = [*service.vault.rollback.findings.problems, *service.records.problems()]
    service.close()
    if as_json:
        print_json(
            {"repaired": had, "erased_again": erased, "cases_accepted": cases, "problems": left}
        )
    else:
        typer.echo(
            f"{len(had)} problems of the vault repaired; {len(erased)} people erased again; {len(cases)} older cases stand."
        )
        for problem in left:
            typer.secho(problem, err=True, fg="red")
    raise typer.Exit(3 if left else 0)


@vault_group.command("erasures")
def erasures(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Write the signed receipts there, one JSON object a line.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Who was erased, by opaque id, and the signed receipts."""
    from scanner.factories import open_vault

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    found = [json.loads(row["receipt"]) for row in vault.erasure.rows()]
    vault.close()
    if out:
        new_file(out)
        write_text_file(out, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found))
    if as_json:
        print_json({"erasures": found})
        return
    rows = [
        [one["identity_id"], one["erased_at"][:19], one["why"], str(one["photos_erased"])]
        for one in found
    ]
    print_table(["id", "at (UTC)", "why", "photos"], rows)


@audit_group.command("show")
def show(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="How many entries, newest first.", min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """The audit log, newest entry first."""
    import dataclasses

    from scanner.factories import open_vault

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    entries = list(islice(vault.audit.entries(newest_first=True), last))
    vault.close()
    if as_json:
        print_json({"entries": [dataclasses.asdict(entry) for entry in entries]})
        return
    rows = [
        [str(one.number), one.at[:19], one.actor, one.event, one.subject[:12]] for one in entries
    ]
    print_table(["entry", "at (UTC)", "who", "what", "whom"], rows)


@audit_group.command("verify")
def verify(
    context: typer.Context,
    expect: Annotated[
        str | None, typer.Option(help="Hash of an entry noted earlier, outside this machine.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Whether no entry was changed, added, taken out or cut off."""
    from scanner.factories import open_vault

    flags: Flags = context.obj
    vault = open_vault(flags.settings())
    problems, head = vault.audit.problems(expect), vault.audit.head
    vault.close()
    _tell_problems(problems, f"The audit log is whole. Newest entry: {head or 'none'}", as_json)


@audit_group.command("accept-clock")
def accept_clock(
    context: typer.Context,
    reason: Annotated[
        str, typer.Option(help="What had been wrong with the clock; kept in the log.")
    ],
    operator: OperatorOption = None,
) -> None:
    """Go on after the clock had been ahead: the log says who accepted which time, and why."""
    from scanner.factories import open_vault, utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    vault = open_vault(settings)
    accepted = vault.audit.accept_clock(operator or settings.operator, utc_now(), reason)
    vault.close()
    typer.echo(
        "The log goes on from now."
        if accepted
        else "The log does not lie ahead of the clock; nothing was written."
    )


def _tell_problems(problems: list[str], good: str, as_json: bool) -> None:
    if as_json:
        print_json({"sound": not problems, "problems": problems})
    elif not problems:
        typer.echo(good)
    for problem in [] if as_json else problems:
        typer.secho(problem, err=True, fg="red")
    if problems:
        raise typer.Exit(3)
