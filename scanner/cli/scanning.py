"""`scan`: from checkpoints to a table and an HTML report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    TABLE_WIDTH,
    BaseModelOption,
    FacePackOption,
    Flags,
    JsonFlag,
    LanguageOption,
    UseOption,
    check_language,
    print_gaps,
    print_json,
    progress_bar,
    visible,
    write_text_file,
)

if TYPE_CHECKING:
    from scanner.scanning.scan import ScanResult
    from scanner.scanning.session import ScanSession


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("scan")(scan)


def scan(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, URLs, or a hub: civitai, civitai=https://host.",
            metavar="PATH|URL|HUB...",
        ),
    ],
    face_pack: FacePackOption = None,
    base_model: BaseModelOption = None,
    use: UseOption = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Judge on a Ray cluster: auto for the one around, or its address.",
            metavar="auto|ADDRESS",
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Images at a time; halved by itself when memory runs out.")
    ] = None,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Sample checkpoints and tell which registered people they reproduce. Run again to go on after a stop."""
    check_language(lang)
    from scanner.network import allow_typed
    from scanner.scanning.scan import run_scan
    from scanner.scanning.session import ScanSession

    flags: Flags = context.obj
    scan_session = ScanSession(
        flags.settings(face_pack=face_pack, base_model=base_model, use=use, ray=ray, batch=batch)
    )
    allow_typed(scan_session.transport, targets)
    with progress_bar("scanning") as observer:
        result = run_scan(scan_session, targets, observer)
    _finish(scan_session, result, lang, as_json)


def write_report(
    scan_session: ScanSession, result: ScanResult, language: str, out: Path | None = None
) -> Path:
    """Render a scan's report and write it to `out`, or among the home's reports."""
    from importlib.metadata import version

    from reports.documents.scan_report import ScanSummary, render_report

    summary = ScanSummary(
        scan_id=result.scan.scan_id,
        target=result.scan.target,
        made_at=scan_session.clock().isoformat(timespec="seconds"),
        gallery_size=result.scan.gallery_size,
        version=version("portrait-scanner"),
        # The file outlives the person: whoever no case is about is named on the screen only.
        rows=[row if row.get("case_id") else {**row, "identity": None} for row in result.rows],
    )
    cases = scan_session.case_store.named(result.case_ids)
    for case in cases:
        scan_session.records.vouched(case.case_id)
    text = render_report(summary, cases, scan_session.case_store, language)
    suffix = "" if language == "en" else f".{language}"
    path = out or scan_session.settings.reports_path / f"{result.scan.scan_id}{suffix}.html"
    write_text_file(path, text)
    return path


def _finish(scan_session: ScanSession, result: ScanResult, language: str, as_json: bool) -> None:
    from reports.cases.review import OPEN

    path = write_report(scan_session, result, language)
    note = f"Face pack {scan_session.pack.name}: {scan_session.pack.licence}."
    opened = scan_session.case_store.named(result.case_ids)
    scan_session.close()
    if result.scan.gallery_size == 0:
        typer.secho(
            "Nobody was searched for: nobody is registered, approved and with a consent that covers today, so `clear` says "
            "nothing here. `portrait-scanner identities` shows who is registered; is --home the right one, and this machine's date?",
            err=True, fg="yellow",
        )  # fmt: skip
    print_gaps(result.gaps)
    if as_json:
        document = {"results": list(result.rows), "report": str(path), "scan": result.scan.scan_id}
        print_json({**document, "gaps": list(result.gaps)})
    else:
        if result.rows:
            _print_table(result.rows)
        else:
            typer.echo(f"No checkpoint was found in {result.scan.target}.")
        for case in opened:
            typer.echo(
                f"Case {case.case_id}: {case.identity_name} in {visible(case.checkpoint.file)}, {case.status}."
            )
        if any(case.status in OPEN for case in opened):
            typer.echo("Decide about one with: portrait-scanner review CASE --help")
        typer.echo(f"{note}\nReport: {path}")
    raise typer.Exit(1 if result.has_findings else 3 if result.gaps else 0)


def _print_table(rows: tuple[dict[str, Any], ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"match": "bold red", "possible": "yellow", "clear": "green", "failed": "dim"}
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold underline")
    table.add_column("model", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("identity", no_wrap=True)
    for title in ("score", "threshold", "lift", "samples", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        numbers = [
            "" if row[name] is None else f"{row[name]:.2f}"
            for name in ("score", "threshold", "lift")
        ]
        outcome = f"[{colours.get(row['outcome'], 'default')}]{row['outcome']}[/]"
        table.add_row(
            row["file"],
            outcome,
            row["identity"] or "",
            *numbers,
            str(row["samples"]),
            f"{row['seconds']:.1f}",
        )
    Console(width=TABLE_WIDTH).print(table)
    console = Console()
    for row in rows:
        if row["outcome"] in ("failed", "inconclusive"):
            console.print(
                f"{row['file']}: {row['reason']}", style="dim", markup=False, highlight=False
            )
