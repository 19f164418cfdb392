"""`export`, `summary`, `transparency`: verdicts as a table, monthly pages, public counters."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import case_service_of, scan_store_of, settings_of
from scanner.cli.options import JsonFlag, LanguageOption, check_language
from scanner.cli.output import print_json, print_table, write_text_file

if TYPE_CHECKING:
    from scanner.casework.statistics import HolderMonth

MonthOption = Annotated[str | None, typer.Option(help="As YYYY-MM.", show_default="this month")]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("export", rich_help_panel=panel)(export)
    app.command("summary", rich_help_panel=panel)(summary)
    app.command("transparency", rich_help_panel=panel)(transparency)


def export(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="A file that ends in .csv or .parquet.", metavar="FILE")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Write every verdict of every scan as CSV or Parquet."""
    from scanner.casework.exports import write_table

    if out.suffix.lower() not in (".csv", ".parquet"):
        raise typer.BadParameter(f"{out.name} ends in neither .csv nor .parquet", param_hint="FILE")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scan_store_of(settings_of(context)) as scan_store:
        count = write_table(scan_store.table.rows(), out)
    if as_json:
        print_json({"file": str(out), "rows": count})
    else:
        typer.echo(f"{count:,} verdicts: {out}")


def summary(
    context: typer.Context,
    month: MonthOption = None,
    identity: Annotated[str | None, typer.Option(help="Only this person, by name or id.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for one HTML page a person.")] = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Sum up a month for each rights holder.

    Cases, decisions and notices are counted.
    """
    from scanner.casework.statistics import holder_months

    check_language(lang)
    with case_service_of(settings_of(context)) as service:
        wanted = _month(month, f"{service.clock():%Y-%m}")
        identity_id = service.vault.people.find(identity).identity_id if identity else None
        months = holder_months(service, wanted, identity_id)
    pages = _write_pages(months, out, wanted, lang) if out else {}
    if as_json:
        holders = [{**asdict(holder), "page": pages.get(holder.identity_id)} for holder in months]
        print_json({"month": wanted, "holders": holders})
        return
    print_table(
        ("person", "match", "possible", "confirmed", "notices open", "overdue", "removed"),
        [_holder_row(holder) for holder in months],
    )
    for path in pages.values():
        typer.echo(str(path))


def _write_pages(
    months: list[HolderMonth], folder: Path, month: str, language: str
) -> dict[str, Path]:
    """Write one page for each rights holder, and return the files by the ids of the holders."""
    from reports.documents.monthly import month_html

    paths = {
        holder.identity_id: folder / f"{month}.{holder.identity_id[:12]}.{language}.html"
        for holder in months
    }
    for holder in months:
        write_text_file(paths[holder.identity_id], month_html(asdict(holder), language))
    return paths


def _holder_row(holder: HolderMonth) -> tuple[str, ...]:
    return (
        holder.name,
        str(holder.opened.get("match", 0)),
        str(holder.opened.get("possible", 0)),
        str(holder.statuses.get("confirmed", 0)),
        str(holder.open_notices),
        str(holder.overdue),
        str(holder.notices.get("removed", 0)),
    )


def transparency(
    context: typer.Context, month: MonthOption = None, as_json: JsonFlag = False
) -> None:
    """Count a month for publication, without any name."""
    from scanner.casework.statistics import transparency as count_month

    settings = settings_of(context)
    with case_service_of(settings) as service, scan_store_of(settings) as scan_store:
        wanted = _month(month, f"{service.clock():%Y-%m}")
        counts = count_month(service, scan_store.table.month(wanted), wanted)
    if as_json:
        print_json(counts)
        return
    rows = [(name.replace("_", " "), _count_text(value)) for name, value in counts.items()]
    print_table(("what", "count"), rows)


def _count_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return "–" if value is None else str(value)


def _month(given: str | None, this_month: str) -> str:
    month = given or this_month
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise typer.BadParameter(f"{month!r} is not a month like 2026-11", param_hint="--month")
    return month
