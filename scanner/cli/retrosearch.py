"""`retrosearch`: whoever registered since, searched in everything that was drawn before."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import scan_session_of, settings_of
from scanner.cli.exit_codes import ExitCode
from scanner.cli.options import FacePackOption, JsonFlag, SecondPackOption
from scanner.cli.output import print_json, print_warning
from scanner.cli.progress import progress_bar
from scanner.cli.scanning import RayOption
from scanner.cli.verdict_tables import print_results

if TYPE_CHECKING:
    from reports.cases.case_store import CaseStore
    from scanner.scanning.retrosearch import RetrosearchResult


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("retrosearch", rich_help_panel=panel)(retrosearch)


def retrosearch(
    context: typer.Context,
    face_pack: FacePackOption = None,
    second_pack: SecondPackOption = None,
    ray: RayOption = None,
    draw_missing: Annotated[
        bool,
        typer.Option(
            "--draw-missing",
            help="Also scan files that an earlier version examined and kept no samples of.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Search new people in everything that was drawn before.

    Only files in which somebody comes near are drawn again, and files of one face whose faces are
    not kept.
    """
    from scanner.scanning.retrosearch import retrosearch as search

    settings = settings_of(context, face_pack=face_pack, second_pack=second_pack, ray=ray)
    with scan_session_of(settings) as session:
        with progress_bar("searching") as observer:
            result = search(session, observer, draw_missing=draw_missing)
        if as_json:
            print_json(
                {
                    "gallery_version": result.gallery_version,
                    "files": result.files,
                    "unsearched": result.unsearched,
                    "unconfirmed": result.unconfirmed,
                    "results": (reported.to_json() for reported in result.rows),
                    "totals": asdict(result.totals),
                }
            )
        else:
            _print_retrosearch(result, session.case_store)
        _print_warnings(result, drawn=draw_missing)
        has_findings = result.has_findings
        is_complete = result.unsearched == result.unconfirmed == 0
    if has_findings:
        raise typer.Exit(ExitCode.FINDINGS)
    raise typer.Exit(ExitCode.DONE if is_complete else ExitCode.COULD_NOT_FINISH)


def _print_retrosearch(result: RetrosearchResult, case_store: CaseStore) -> None:
    scanned = result.rows.counts().rows
    if scanned:
        print_results(result.rows, case_store)
    typer.echo(
        f"Files that were drawn before and searched: {result.files:,}. Results of files that were "
        f"scanned again: {scanned:,}; files of them that show somebody: "
        f"{result.rows.open_files():,}. "
        f"Drawn: {result.totals.drawn_files:,} ({result.totals.denoiser_calls:,} denoiser calls), "
        f"{result.totals.seconds:.1f} s."
    )


def _print_warnings(result: RetrosearchResult, *, drawn: bool) -> None:
    if result.unconfirmed:
        print_warning(
            f"files in which somebody comes near and which cannot be had: {result.unconfirmed:,}. "
            "Nobody is named for them; the table says why. Put the files back, or scan them where "
            "they are now; every retrosearch tries them again"
        )
    if result.unsearched:
        print_warning(
            f"files that could not be searched, because no samples of them are kept: "
            f"{result.unsearched:,}. Scan them again{'' if drawn else ', or pass --draw-missing'}"
        )
