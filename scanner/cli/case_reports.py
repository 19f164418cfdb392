"""`report`: the report of a case, its sealed evidence, and the overview of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import case_service_of, scan_session_of, settings_of
from scanner.cli.options import JsonFlag, LanguageOption, check_language
from scanner.cli.output import print_json, print_warning
from scanner.cli.scanning import report_path, write_report

if TYPE_CHECKING:
    from reports.cases.case import Case
    from scanner.casework.service import CaseService
    from scanner.settings import Settings

WhatArgument = Annotated[
    str,
    typer.Argument(
        help="A case's id for its own report; a scan's id, or latest, for its overview.",
        metavar="CASE|SCAN",
    ),
]
BundleFlag = Annotated[
    bool,
    typer.Option("--bundle", help="Also seal the evidence of the case, signed and timestamped."),
]
RedactedFlag = Annotated[
    bool,
    typer.Option("--redacted", help="For the hub: pictures blurred, no reviewers, no machine."),
]
WithWeightsFlag = Annotated[
    bool, typer.Option("--with-weights", help="Put the weights file into the bundle as well.")
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("report", rich_help_panel=panel)(report)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Which forms of a report are written, and where."""

    out: Path | None
    language: str
    bundle: bool
    redacted: bool
    with_weights: bool
    pdf: bool

    def check(self) -> None:
        """Raise typer.BadParameter for options that exclude each other."""
        check_language(self.language)
        if self.bundle and self.redacted:
            raise typer.BadParameter(
                "a bundle is the whole evidence; write the redacted copy without --bundle",
                param_hint="--redacted",
            )
        if self.with_weights and not self.bundle:
            raise typer.BadParameter(
                "the weights go into a bundle: add --bundle", param_hint="--with-weights"
            )


def report(
    context: typer.Context,
    what: WhatArgument = "latest",
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write into.", show_default="among the home's reports"),
    ] = None,
    lang: LanguageOption = "en",
    bundle: BundleFlag = False,
    redacted: RedactedFlag = False,
    with_weights: WithWeightsFlag = False,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also write PDF/A.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write the report of a case, or the overview of a scan.

    A case is written as HTML and PDF, a scan as HTML.
    """
    options = ReportOptions(out, lang, bundle, redacted, with_weights, pdf)
    options.check()
    settings = settings_of(context)
    with case_service_of(settings) as service:
        case = _case_of(service, what, options)
        if case is not None:
            folder = options.out or settings.reports_path
            written = _write_case(service, case, folder, options)
    if case is None:
        _report_scan(settings, what, options, as_json=as_json)
    elif as_json:
        print_json({"case": case.case_id, "status": case.status, **written})
    else:
        _print_written(case, written, authorities=bool(settings.timestamp_authorities))


def _case_of(service: CaseService, what: str, options: ReportOptions) -> Case | None:
    """The case that is meant, or None where it is a scan; raises UnknownCase."""
    from reports.errors import UnknownCase

    try:
        return service.case_store.case(what)
    except UnknownCase:
        if options.bundle or options.redacted or (what.isalnum() and what != "latest"):
            raise
        return None


def _write_case(
    service: CaseService, case: Case, folder: Path, options: ReportOptions
) -> dict[str, Any]:
    """Write a case's report and bundle, and return the paths and what is still missing."""
    from reports.documents.pdf import pdf_problem
    from reports.evidence.bundle import BundleRequest
    from reports.evidence.timestamping import pending

    pdf = options.pdf
    languages = BundleRequest().languages if options.bundle else (options.language,)
    if pdf and (problem := next(filter(None, map(pdf_problem, languages)), None)):
        print_warning(problem)
        pdf = False
    written: dict[str, Any] = dict(
        service.write_report(
            case.case_id, folder, options.language, redacted=options.redacted, pdf=pdf
        )
    )
    if options.bundle:
        bundle = service.write_bundle(
            case.case_id, folder, with_weights=options.with_weights, pdf=pdf
        )
        written["bundle"] = bundle
        written["pending_timestamps"] = pending(bundle)
    return written


def _print_written(case: Case, written: dict[str, Any], *, authorities: bool) -> None:
    """Print what was written; `authorities` tells whether any timestamp authority is configured."""
    for name, title in (("html", "HTML"), ("pdf", "PDF"), ("bundle", "Bundle")):
        if name in written:
            typer.echo(f"{title}: {written[name]}")
    if waiting := written.get("pending_timestamps"):
        command = f"portrait-scanner timestamp {written['bundle']}"
        typer.echo(f"Not timestamped yet by {', '.join(waiting)}; ask again with `{command}`")
    elif "bundle" in written and not authorities:
        typer.echo(
            "Not timestamped: no authority is configured (timestamp_authorities; "
            "see docs/evidence.md)."
        )
    if case.status == "draft":
        typer.echo(
            f"It is a draft until somebody decides: portrait-scanner review {case.case_id} --help"
        )


def _report_scan(
    settings: Settings, scan_id: str, options: ReportOptions, *, as_json: bool
) -> None:
    from scanner.scanning.scan_result import result_of

    with scan_session_of(settings) as session:
        result = result_of(session, scan_id)
        path = options.out or report_path(settings, result.scan.scan_id, options.language)
        if path.suffix.lower() != ".html":
            path = path / f"{result.scan.scan_id}.{options.language}.html"
        write_report(session, result, options.language, path)
        if as_json:
            scan = {"report": str(path), "scan": result.scan.scan_id}
            print_json({**scan, "results": result.to_json_rows()})
    if not as_json:
        typer.echo(f"Report: {path}")
