"""`export`, `summary`, `transparency`: verdicts for analysts, months for rights holders, counters for the public."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    LanguageOption,
    check_language,
    print_json,
    print_table,
    write_text_file,
)

MonthOption = Annotated[str | None, typer.Option(help="As YYYY-MM.", show_default="this month")]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("export")(export)
    app.command("summary")(summary)
    app.command("transparency")(transparency)


def export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="A file that ends in .csv or .parquet.", metavar="FILE")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Write every verdict of every scan as CSV or Parquet."""
    from scanner.casework.statistics import as_csv, verdict_rows, write_parquet
    from scanner.scanning.scan_store import ScanStore

    if out.suffix.lower() not in (".csv", ".parquet"):
        raise typer.BadParameter(f"{out.name} ends in neither .csv nor .parquet", param_hint="FILE")
    flags: Flags = context.obj
    scan_store = ScanStore(flags.settings().scans_path)
    rows = list(verdict_rows(scan_store))
    scan_store.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".csv":
        out.write_bytes(as_csv(rows))
    else:
        write_parquet(rows, out)
    if as_json:
        print_json({"file": str(out), "rows": len(rows)})
    else:
        typer.echo(f"{len(rows):,} verdicts: {out}")


def summary(
    context: typer.Context,
    month: MonthOption = None,
    identity: Annotated[str | None, typer.Option(help="Only this person, by name or id.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for one HTML page a person.")] = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """A month for each rights holder: cases, decisions, notices."""
    check_language(lang)
    from reports.documents.monthly import month_html
    from scanner.casework.service import CaseService
    from scanner.casework.statistics import holder_months

    flags: Flags = context.obj
    service = CaseService(flags.settings())
    wanted = _month(month, f"{service.clock():%Y-%m}")
    identity_id = service.vault.people.find(identity).identity_id if identity else None
    months = holder_months(service, wanted, identity_id)
    service.close()
    paths = {}
    for one in months if out else ():
        paths[one.identity_id] = (
            out / f"{wanted}.{one.identity_id[:12]}.{lang}.html" if out else Path()
        )
        write_text_file(paths[one.identity_id], month_html(asdict(one), lang))
    if as_json:
        print_json(
            {
                "month": wanted,
                "holders": [{**asdict(one), "page": paths.get(one.identity_id)} for one in months],
            }
        )
        return
    print_table(
        ("person", "match", "possible", "confirmed", "notices open", "overdue", "removed"),
        [
            (
                one.name, str(one.opened.get("match", 0)), str(one.opened.get("possible", 0)), str(one.statuses.get("confirmed", 0)),
                str(one.open_notices), str(one.overdue), str(one.notices.get("removed", 0)),
            )
            for one in months
        ],
    )  # fmt: skip
    for path in paths.values():
        typer.echo(str(path))


def transparency(
    context: typer.Context, month: MonthOption = None, as_json: JsonFlag = False
) -> None:
    """The counters an operator publishes of a month; no name is among them."""
    from scanner.casework.service import CaseService
    from scanner.casework.statistics import transparency as counted
    from scanner.scanning.scan_store import ScanStore

    flags: Flags = context.obj
    settings = flags.settings()
    service, scan_store = CaseService(settings), ScanStore(settings.scans_path)
    told = counted(service, scan_store, _month(month, f"{service.clock():%Y-%m}"))
    service.close()
    scan_store.close()
    if as_json:
        print_json(told)
        return
    rows = []
    for name, value in told.items():
        text = (
            ", ".join(f"{one} {count}" for one, count in value.items()) or "none"
            if isinstance(value, dict)
            else value
        )
        rows.append((name.replace("_", " "), "–" if text is None else str(text)))
    print_table(("what", "count"), rows)


def _month(given: str | None, this: str) -> str:
    month = given or this
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise typer.BadParameter(f"{month!r} is not a month like 2026-11", param_hint="--month")
    return month
