"""`notice kinds`, `notice fields`, `notice draft`: writing notices to hubs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from scanner.cli.cases import warn_of_withdrawal
from scanner.cli.commands import CommandGroup
from scanner.cli.context import case_service_of, settings_of
from scanner.cli.options import CaseArgument, JsonFlag, OperatorOption, check_language
from scanner.cli.output import print_error, print_json, print_line, print_table, print_warning

if TYPE_CHECKING:
    from reports.errors import NoticeIncomplete
    from reports.notices.drafting import Draft
    from reports.notices.template import Template
    from scanner.casework.service import CaseService

group = CommandGroup("Draft notices to hubs, and follow what becomes of them.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `notice` to a panel."""
    app.add_typer(group, name="notice", rich_help_panel=panel)


@group.command("kinds")
def kinds(
    context: typer.Context,
    case_id: Annotated[
        str | None, typer.Option("--case", help="Only those that apply to this case.")
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(
            help="Only those of this country's law or of no country's: US, GB, DE, CN and so on."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the notices that can be made.

    Each is listed with its law and the fields it needs.
    """
    from reports.notices.template import template, template_names

    country = _country(country)
    templates = [template(name) for name in template_names()]
    if case_id is not None:
        with case_service_of(settings_of(context)) as service:
            case = service.case(case_id)
        templates = [one for one in templates if one.applies(case, country)]
    else:
        templates = [one for one in templates if one.is_of(country)]
    if as_json:
        print_json({"notices": [_template_document(template) for template in templates]})
        return
    print_table(
        ("notice", "for", "law or rule", "to be given"),
        [
            (template.name, template.side, template.statute, ", ".join(_fields_to_give(template)))
            for template in templates
        ],
    )


def _country(code: str | None) -> str | None:
    """Check a country's ISO code; the United Kingdom is taken for GB."""
    from babel import Locale

    if code is None:
        return None
    upper = "GB" if code.upper() == "UK" else code.upper()
    if len(upper) != 2 or upper not in Locale("en").territories:
        raise typer.BadParameter(
            f"{code!r} is no ISO code of a country, such as US, GB, DE or CN",
            param_hint="--country",
        )
    return upper


def _template_document(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "statute": template.statute,
        "checked_on": template.checked_on,
        "languages": template.languages,
        "side": template.side,
        "wording": template.wording,
        "countries": template.countries,
        "hub": template.hub,
        "deadline_hours": template.clock.hours or None if template.clock else None,
        "clock": _clock_document(template),
        "required": [
            {"name": field.name, "label": field.label, "from_case": field.source is not None}
            for field in template.required
        ],
    }


def _clock_document(template: Template) -> dict[str, Any] | None:
    clock = template.clock
    if clock is None:
        return None
    return {"length": clock.length, "unit": clock.unit, "starts": clock.starts or "sent"}


def _fields_to_give(template: Template) -> list[str]:
    return [
        field.name
        for field in template.required
        if not field.source and field.name not in template.defaults
    ]


@group.command("fields")
def fields_of(kind: Annotated[str, typer.Argument(help="Which notice.", metavar="NOTICE")]) -> None:
    """Print the fields of a notice as a TOML file to fill in.

    `notice draft` takes the file with --fields.
    """
    from reports.notices.template import template

    known = template(kind)
    for field in known.required:
        if field.source:
            continue
        condition = f" (must be {field.must})" if field.must else ""
        typer.echo(f"# {field.label['zh-CN']} / {field.label['en']}{condition}")
        # A default depends on the language, so it is shown as a comment and need not be given.
        default = known.defaults.get(field.name, {}).get(known.languages[0])
        line = f"{field.name} = {json.dumps(default or '', ensure_ascii=False)}\n"
        typer.echo(line if default is None else f"# {line}")


FieldsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A field as NAME=VALUE; give it as often as needed.", metavar="NAME=VALUE"
    ),
]
FieldsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--fields",
        help="A TOML file of fields, for what every notice repeats.",
        exists=True,
        dir_okay=False,
    ),
]
NoticeLanguageOption = Annotated[
    str | None,
    typer.Option("--lang", help="en or zh-CN.", show_default="the notice's first language"),
]


@group.command("draft")
def draft(
    context: typer.Context,
    case_id: CaseArgument,
    kind: Annotated[
        str, typer.Argument(help="Which notice; `notice kinds` lists them.", metavar="NOTICE")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write into.")],
    fields: FieldsOption = None,
    fields_file: FieldsFileOption = None,
    lang: NoticeLanguageOption = None,
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a notice about a confirmed case, as text, DOCX and PDF.

    A required field that is missing stops it and is named. Nothing is sent.
    """
    from reports.errors import NoticeIncomplete
    from reports.notices.tracker import send_by

    if lang:
        check_language(lang)
    with case_service_of(settings_of(context, operator=operator)) as service:
        given = {**_from_file(fields_file, kind), **_from_options(fields or [])}
        try:
            notice_id, notice, paths = _draft(service, case_id, kind, given, lang, out)
        except NoticeIncomplete as error:
            _fail_incomplete(error)
    if as_json:
        print_json({"notice": notice_id, **paths})
        return
    for path in paths.values():
        typer.echo(str(path))
    template = notice.template
    source = "" if template.wording == "read" else " (secondary sources only: compare the wording)"
    typer.echo(
        f"From a template checked on {template.checked_on} against: {template.statute}{source}. "
        "Not legal advice."
    )
    if template.is_stale(datetime.now(UTC).date()):
        print_warning(
            f"the wording of {template.name} was checked more than a year ago: compare it with the "
            "law of today before you send it"
        )
    if (end := send_by(notice)) is not None:
        typer.echo(f"It must be sent by {end:%Y-%m-%d}.")
    typer.echo(
        f"Nothing was sent. When you have, say so: portrait-scanner notice mark {notice_id} sent"
    )


def _draft(
    service: CaseService,
    case_id: str,
    kind: str,
    given: dict[str, str],
    language: str | None,
    folder: Path,
) -> tuple[str, Draft, dict[str, Path]]:
    """Write and record a draft, and return its id, the notice and its files by their endings."""
    from reports.notices.drafting import draft_notice
    from reports.notices.rendering import as_docx, as_text, printable
    from reports.notices.tracker import record_draft

    service.find_copies(case_id)
    case = service.exported(case_id)
    warn_of_withdrawal(service, case)
    notice = draft_notice(
        kind, case, given, service.clock(), language, service.vault.keys.fingerprint
    )
    suffix, to_print, problem = printable(notice)
    if problem:
        print_warning(problem)
    contents = {"txt": as_text(notice).encode(), "docx": as_docx(notice), suffix: to_print}
    actor = service.rules.operator
    notice_id = record_draft(service.case_store, notice, actor, service.clock())
    service.note_notice(case, "notice-drafted", actor, notice=notice_id, template=kind)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        suffix: folder / f"{notice_id}.{kind}.{notice.language}.{suffix}" for suffix in contents
    }
    for suffix, data in contents.items():
        paths[suffix].write_bytes(data)
    return notice_id, notice, paths


def _fail_incomplete(error: NoticeIncomplete) -> NoReturn:
    print_error(f"error: the notice {error.template} cannot be made without")
    for sentence in error.descriptions:
        print_line(f"  {sentence}", error=True)
    typer.echo(
        "Give each with --set NAME=VALUE, or all in a file with --fields FILE; "
        f"`portrait-scanner notice fields {error.template}` prints one to fill in.",
        err=True,
    )
    raise typer.Exit(3)


def _from_options(pairs: list[str]) -> dict[str, str]:
    fields = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        fields[name.strip()] = value.strip()
    return fields


def _from_file(path: Path | None, kind: str) -> dict[str, str]:
    """The fields of a TOML file that this notice has; one file serves all notices."""
    import tomllib

    from reports.notices.template import template, template_names

    if path is None:
        return {}
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not TOML: {error}", param_hint="--fields") from error
    names = {field.name for field in template(kind).required}
    known = {field.name for name in template_names() for field in template(name).required}
    if unknown := sorted(set(given) - known):
        raise typer.BadParameter(
            f"{path}: no notice has a field {unknown[0]!r}", param_hint="--fields"
        )
    return {name: str(value) for name, value in given.items() if name in names}
