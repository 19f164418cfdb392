"""`notice`: letters to hubs and what became of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from scanner.cli.casework import CaseArgument, warn_of_withdrawal
from scanner.cli.context import (
    Flags,
    JsonFlag,
    OperatorOption,
    check_language,
    command_group,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from reports.errors import NoticeIncomplete

group = command_group("Draft notices to hubs, and follow what becomes of them.")


@group.command("kinds")
def kinds(as_json: JsonFlag = False) -> None:
    """List the notices that can be made, their law, and the fields they need."""
    from reports.notices.template import template, template_names

    found = [template(name) for name in template_names()]
    if as_json:
        rows = [
            {
                "name": one.name, "statute": one.statute, "checked_on": one.checked_on, "languages": one.languages, "side": one.side,
                "deadline_hours": one.deadline_hours,
                "required": [{"name": field.name, "label": field.label, "from_case": field.source is not None} for field in one.required],
            }
            for one in found
        ]  # fmt: skip
        print_json({"notices": rows})
        return
    print_table(
        ("notice", "for", "law or rule", "to be given"),
        [
            (
                one.name,
                one.side,
                one.statute,
                ", ".join(
                    field.name
                    for field in one.required
                    if not field.source and field.name not in one.defaults
                ),
            )
            for one in found
        ],
    )


@group.command("fields")
def fields_of(kind: Annotated[str, typer.Argument(help="Which notice.", metavar="NOTICE")]) -> None:
    """Print the fields that a notice needs from you, as a TOML file to fill in for --fields."""
    from reports.notices.template import template

    known = template(kind)
    for field in known.required:
        if field.source:
            continue
        typer.echo(
            f"# {field.label['zh-CN']} / {field.label['en']}"
            + (f" (must be {field.must})" if field.must else "")
        )
        # What has a default depends on the language: it is shown, and left out of what is given.
        default = known.defaults.get(field.name, {}).get(known.languages[0])
        line = f"{field.name} = {json.dumps(default or '', ensure_ascii=False)}\n"
        typer.echo(line if default is None else f"# {line}")


@group.command("draft")
def draft(
    context: typer.Context,
    case_id: CaseArgument,
    kind: Annotated[
        str, typer.Argument(help="Which notice; `notice kinds` lists them.", metavar="NOTICE")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write into.")],
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A field as NAME=VALUE; give it as often as needed.", metavar="NAME=VALUE"
        ),
    ] = None,
    fields_file: Annotated[
        Path | None,
        typer.Option(
            "--fields",
            help="A TOML file of fields, for what every notice repeats.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option("--lang", help="en or zh-CN.", show_default="the notice's first language"),
    ] = None,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a notice about a confirmed case as text, DOCX and PDF. A missing field stops it and is named."""
    from reports.errors import NoticeIncomplete
    from reports.notices.drafting import draft_notice
    from reports.notices.rendering import as_docx, as_text, printable
    from reports.notices.tracker import record_draft
    from scanner.casework.service import CaseService

    if lang:
        check_language(lang)
    flags: Flags = context.obj
    service = CaseService(flags.settings(operator=operator))
    case = service.exported(case_id)
    warn_of_withdrawal(service, case)
    given = {**_from_file(fields_file, kind), **_from_options(fields or [])}
    try:
        made = draft_notice(kind, case, given, service.clock(), lang, service.vault.fingerprint)
    except NoticeIncomplete as error:
        _tell_missing(error)
    suffix, to_print, problem = printable(made)
    contents = {"txt": as_text(made).encode(), "docx": as_docx(made), suffix: to_print}
    notice_id = record_draft(service.case_store, made, service.settings.operator, service.clock())
    service.note_notice(
        case, "notice-drafted", service.settings.operator, notice=notice_id, template=kind
    )
    out.mkdir(parents=True, exist_ok=True)
    paths = {suffix: out / f"{notice_id}.{kind}.{made.language}.{suffix}" for suffix in contents}
    for suffix, data in contents.items():
        paths[suffix].write_bytes(data)
    service.close()
    if problem:
        typer.secho(problem, err=True, fg="yellow")
    if as_json:
        print_json({"notice": notice_id, **paths})
        return
    for path in paths.values():
        typer.echo(str(path))
    typer.echo(
        f"From a template checked on {made.template.checked_on} against: {made.template.statute}. Not legal advice."
    )
    typer.echo(
        f"Nothing was sent. When you have, say so: portrait-scanner notice mark {notice_id} sent"
    )


def _tell_missing(error: NoticeIncomplete) -> NoReturn:
    typer.secho(f"error: the notice {error.template} cannot be made without", err=True, fg="red")
    for told in error.descriptions:
        typer.echo(f"  {told}", err=True)
    typer.echo(
        f"Give each with --set NAME=VALUE, or all in a file with --fields FILE; `portrait-scanner notice fields {error.template}` prints one to fill in.",
        err=True,
    )
    raise typer.Exit(3)


def _from_options(pairs: list[str]) -> dict[str, str]:
    odd = [pair for pair in pairs if "=" not in pair]
    if odd:
        raise typer.BadParameter(f"{odd[0]!r} is not NAME=VALUE", param_hint="--set")
    return dict((part.strip() for part in pair.split("=", 1)) for pair in pairs)  # type: ignore[misc]


def _from_file(path: Path | None, kind: str) -> dict[str, str]:
    """The fields of a TOML file that this notice has; one file serves all notices."""
    import tomllib

    from reports.notices.template import template, template_names

    if path is None:
        return {}
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not TOML: {error}", param_hint="--fields") from error
    names = {field.name for field in template(kind).required}
    known = {field.name for name in template_names() for field in template(name).required}
    if odd := sorted(set(told) - known):
        raise typer.BadParameter(f"{path}: no notice has a field {odd[0]!r}", param_hint="--fields")
    return {name: str(value) for name, value in told.items() if name in names}


@group.command("list")
def listed(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List every notice with where it stands and how long its clock still runs."""
    from reports.notices.tracker import all_tracked, happened_at
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    service = CaseService(flags.settings())
    found, now = all_tracked(service.case_store), service.clock()
    service.close()
    if as_json:
        rows = [
            {
                "notice": one.notice_id, "case": one.case_id, "template": one.template, "state": one.state, "url": one.url,
                "due": one.due, "overdue": one.overdue(now),
                "history": [{"at": entry.at, "by": entry.actor, **entry.details} for entry in one.history],
            }
            for one in found
        ]  # fmt: skip
        print_json({"notices": rows})
        return
    if not found:
        typer.echo("No notice yet: portrait-scanner notice draft CASE NOTICE --out FOLDER")
        return

    def clock(one: object) -> str:
        due = getattr(one, "due", None)
        if due is None:
            return ""
        hours = (due - now).total_seconds() / 3600
        return f"{hours:.0f} h left" if hours >= 0 else f"OVERDUE by {-hours:.0f} h"

    print_table(
        ("notice", "kind", "state", "since", "clock", "address"),
        [
            (
                one.notice_id,
                one.template,
                one.state,
                f"{happened_at(one.history[-1]):%Y-%m-%dT%H:%M}",
                clock(one),
                one.url,
            )
            for one in found
        ],
    )


@group.command("mark")
def mark(
    context: typer.Context,
    notice_id: Annotated[str, typer.Argument(metavar="NOTICE")],
    event: Annotated[
        str, typer.Argument(help="sent, acknowledged, removed, refused, reinstated or cancelled.")
    ],
    at: Annotated[
        str | None,
        typer.Option(
            help="When, as 2026-11-25T09:30+08:00; clocks run from then.", show_default="now"
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="A reference number or an answer, in words.")] = "",
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Note what happened to a notice; a law's clock starts when it is marked as sent."""
    from reports.notices.tracker import record_event
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    service = CaseService(flags.settings(operator=operator))
    known = record_event(
        service.case_store,
        notice_id,
        event,
        service.settings.operator,
        service.clock(),
        note,
        _moment(at),
    )
    case = service.case_store.case(known.case_id)
    service.note_notice(
        case, "notice-marked", service.settings.operator, notice=notice_id, state=event
    )
    warn_of_withdrawal(service, case)
    service.close()
    if as_json:
        print_json({"notice": notice_id, "state": known.state, "due": known.due})
    else:
        typer.echo(
            f"Notice {notice_id} is {known.state}"
            + (f"; an answer is due by {known.due:%Y-%m-%d %H:%M} UTC." if known.due else ".")
        )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time like 2026-11-25T09:30+08:00", param_hint="--at"
        ) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} does not say in which time zone; add +00:00 or the like", param_hint="--at"
        )
    return moment


@group.command("recheck")
def recheck(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Look at the addresses of open notices: what is gone is marked removed, what is back reinstated."""
    from scanner.casework.rechecking import recheck_notices

    flags: Flags = context.obj
    found = recheck_notices(flags.settings())
    if as_json:
        rows = [
            {
                "notice": one.notice_id,
                "found": one.found,
                "state": one.state,
                "addresses": dict(one.addresses),
            }
            for one in found
        ]
        print_json({"notices": rows})
    elif not found:
        typer.echo("No notice is open.")
    else:
        for one in found:
            typer.echo(f"{one.notice_id}: {one.found}; {one.state}")
            for url, answer in one.addresses if len(one.addresses) > 1 else ():
                typer.echo(f"  {answer}: {url}")
    raise typer.Exit(3 if any(one.found not in ("there", "gone") for one in found) else 0)
