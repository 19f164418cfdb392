"""`inspect`, `scan`: what a checkpoint is, and which registered people it reproduces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import may_be_in_home, scan_session_of, settings_of
from scanner.cli.explanation import explain_files
from scanner.cli.options import (
    BaseModelOption,
    FacePackOption,
    JsonFlag,
    LanguageOption,
    SecondPackOption,
    check_language,
)
from scanner.cli.output import (
    console,
    print_gaps,
    print_json,
    print_warning,
    visible,
    write_text_file,
)
from scanner.cli.progress import progress_bar
from scanner.cli.verdict_tables import print_results

if TYPE_CHECKING:
    from scanner.casework.copies import RelatedFile
    from scanner.scanning.scan_result import ScanResult
    from scanner.scanning.session import ScanSession
    from scanner.settings import Settings
    from scanner.triage.header import Triage

RayOption = Annotated[
    str | None,
    typer.Option(
        help="Sample on a Ray cluster: auto for a running one, or its address.",
        metavar="auto|ADDRESS",
    ),
]
BatchOption = Annotated[
    int | None, typer.Option(help="Images at a time; halved by itself when memory runs out.")
]
RedrawOption = Annotated[
    bool, typer.Option("--redraw", help="Draw every file anew, whatever is kept of it.")
]
ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Tell for each file what a scan would do and why; do not scan."),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("inspect", rich_help_panel=panel)(inspect)
    app.command("scan", rich_help_panel=panel)(scan)


def inspect(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(help="A checkpoint on disk or its http(s) URL.", metavar="FILE_OR_URL")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show kind, family and triggers of a checkpoint from its header.

    A file is not loaded, and of a URL only the header is downloaded.
    """
    from scanner.triage.header import triage_file

    if target.startswith(("http://", "https://")):
        triage = _triage_url(context, target)
    else:
        triage = triage_file(Path(target))
    related = _related_to(context, target, triage)
    if as_json:
        relations = [one.as_document() for one in related]
        print_json({**_triage_document(triage), "relations": relations})
    else:
        _print_triage(target, triage, related)


def _related_to(context: typer.Context, target: str, triage: Triage) -> list[RelatedFile]:
    """The files that a file on disk is related to; none before any fingerprint was made."""
    if triage.sha256 is None or not may_be_in_home(context, "fingerprints.db"):
        return []
    settings = settings_of(context)
    if not settings.fingerprints_path.exists():
        return []
    from scanner.cli.copies import related_to
    from scanner.factories.fingerprints import open_related_files

    with open_related_files(settings) as related:
        return related_to(related, Path(target), triage)[0]


def _triage_url(context: typer.Context, url: str) -> Triage:
    from scanner.factories.network import allow_typed, open_transport
    from scanner.triage.header import triage_url

    transport = open_transport(settings_of(context))
    allow_typed(transport, [url])
    triage = triage_url(transport, url)
    transport.close()
    return triage


def _triage_document(triage: Triage) -> dict[str, Any]:
    """The JSON contract of `inspect`."""
    return {
        "sha256": triage.sha256,
        "weights_hash": triage.weights_hash,
        "kind": triage.kind,
        "family": triage.family,
        "model": triage.model,
        "fits": list(triage.fits),
        "naming": triage.naming,
        "leftovers": list(triage.leftovers),
        "triggers": list(triage.triggers),
        "training": triage.training,
        "signals": list(triage.signals),
        "likeness": {
            "score": triage.likeness,
            "signals": [list(signal) for signal in triage.likeness_signals],
        },
        "size_bytes": triage.size_bytes,
        "bytes_read": triage.bytes_read,
        "problems": list(triage.problems),
    }


def _print_triage(target: str, triage: Triage, related: Sequence[RelatedFile]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        show_header=False,
        box=None,
        title=Text(visible(target)),
        title_justify="left",
        title_style="bold",
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [*_triage_rows(triage), *(("relation", one.in_words()) for one in related)]
    for name, value in rows:
        table.add_row(name, Text(visible(value)))
    console().print(table)


def _triage_rows(triage: Triage) -> list[tuple[str, str]]:
    size = "unknown" if triage.size_bytes is None else f"{triage.size_bytes:,} bytes"
    rows = [
        ("kind", triage.kind),
        ("family", triage.family if triage.model is None else f"{triage.family} ({triage.model})"),
        ("naming", triage.naming),
        ("triggers", ", ".join(triage.triggers) or "none named"),
        ("size", f"{size}, {triage.bytes_read:,} read"),
        ("sha256", triage.sha256 or "not read whole"),
        ("weights hash", triage.weights_hash or "not read whole"),
    ]
    rows += [
        (name.replace("_", " "), str(value))
        for name, value in triage.training.items()
        if value not in (None, {}, False)
    ]
    if triage.likeness is not None:
        signals = "; ".join(f"{name}: {words}" for name, words in triage.likeness_signals)
        rows.append(
            ("likeness", f"{triage.likeness:.2f} from words alone ({signals or 'no signal'})")
        )
    rows += [("says", signal) for signal in triage.signals]
    return rows + [("problem", problem) for problem in triage.problems]


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
    second_pack: SecondPackOption = None,
    base_model: BaseModelOption = None,
    ray: RayOption = None,
    batch: BatchOption = None,
    redraw: RedrawOption = False,
    explain: ExplainOption = False,
    lang: LanguageOption = "en",
    as_json: JsonFlag = False,
) -> None:
    """Sample checkpoints and tell which registered people they show.

    A scan that was stopped goes on when the same command is run again. What a file drew before is
    searched again without drawing it.
    """
    check_language(lang)
    packs = {"face_pack": face_pack, "second_pack": second_pack}
    if explain:
        settings = settings_of(context, **packs, base_model=base_model)
        explain_files(settings, targets, redraw=redraw, as_json=as_json)
        return
    from scanner.factories.network import allow_typed
    from scanner.scanning.scan import run_scan

    settings = settings_of(context, **packs, base_model=base_model, ray=ray, batch=batch)
    with scan_session_of(settings, redraw=redraw) as session:
        allow_typed(session.transport, targets)
        with progress_bar("scanning") as observer:
            result = run_scan(session, targets, observer)
        path = report_path(settings, result.scan.scan_id, lang)
        write_report(session, result, lang, path)
        pack = f"Face pack {session.faces.pack.name}: {session.faces.pack.licence}."
        _print_warnings(result)
        if as_json:
            print_json(_scan_document(result, path))
        else:
            if result.rows.counts().rows:
                print_results(result.rows, session.case_store)
            else:
                typer.echo(f"No checkpoint was found in {result.scan.target}.")
            typer.echo(f"{pack}\nReport: {path}")
        has_findings = result.has_findings
    raise typer.Exit(1 if has_findings else 3 if result.gaps else 0)


def _print_warnings(result: ScanResult) -> None:
    if result.scan.gallery_size == 0:
        print_warning(
            "Nobody was searched for: nobody is registered, approved and with a consent that "
            "covers today, so `clear` says nothing here. `portrait-scanner identities` shows who "
            "is registered; is --home the right one, and this machine's date?"
        )
    print_gaps(result.gaps)


def _scan_document(result: ScanResult, report: Path) -> dict[str, Any]:
    """The JSON contract of `scan`."""
    return {
        "results": result.to_json_rows(),
        "report": str(report),
        "scan": result.scan.scan_id,
        "totals": asdict(result.totals),
        "gaps": list(result.gaps),
    }


def write_report(session: ScanSession, result: ScanResult, language: str, path: Path) -> Path:
    """Render a scan's report and write it to a file."""
    from importlib.metadata import version

    from reports.documents.scan_report import MOST_CASES, MOST_ROWS, ScanSummary, render_report
    from scanner.scanning.scan_result import case_ids_of

    counts = result.rows.counts()
    shown = result.rows.shown(MOST_ROWS, counts.rows)
    case_ids = result.case_ids
    summary = ScanSummary(
        scan_id=result.scan.scan_id,
        target=result.scan.target,
        made_at=(result.scan.finished_at or session.clock().isoformat())[:19] + "+00:00",
        gallery_size=result.scan.gallery_size,
        version=version("portrait-scanner"),
        # The file may outlive a person's consent, so it names only people whom a case is about.
        # The others are named on the screen only.
        rows=[
            row.to_json() if row.row.case_id else {**row.to_json(), "identity": None}
            for row in shown
        ],
        examined=counts.examined,
        failed=counts.by_outcome.get("failed", 0),
        all_rows=counts.rows,
        all_cases=len(case_ids),
    )
    cases = session.case_store.named(case_ids_of(shown)[:MOST_CASES])
    for case in cases:
        session.records.vouched(case.case_id)
    text = render_report(summary, cases, session.case_store, language)
    write_text_file(path, text)
    return path


def report_path(settings: Settings, scan_id: str, language: str) -> Path:
    """The file of a scan's report among the home's reports."""
    suffix = "" if language == "en" else f".{language}"
    return settings.reports_path / f"{scan_id}{suffix}.html"
