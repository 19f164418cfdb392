"""`cases`, `review`, `amend`, `report`: what was found, what people decide about it, and what they file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    LanguageOption,
    check_language,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from reports.cases.case import Case
    from scanner.casework.service import CaseService

CaseArgument = Annotated[
    str, typer.Argument(help="A case's id, or the first six signs of it.", metavar="CASE")
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("cases")(cases)
    app.command("review")(review)
    app.command("amend")(amend)
    app.command("report")(report)


def cases(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="Only these: draft, confirmed, rejected and so on.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="Only those about this person, by name or id.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the cases that scans have opened, with where each stands."""
    from reports.cases.review import CaseStatus
    from scanner.casework.service import CaseService

    if status not in (None, *CaseStatus):
        raise typer.BadParameter(
            f"{status!r} is not one of {', '.join(CaseStatus)}", param_hint="--status"
        )
    flags: Flags = context.obj
    service = CaseService(flags.settings())
    identity_id = service.vault.find(identity).identity_id if identity else None
    found = [
        case for case in service.case_store.cases(identity_id) if status in (None, case.status)
    ]
    gone = {case.identity_id for case in found if service.has_withdrawn(case)}
    service.close()
    if as_json:
        told = (
            "case_id",
            "status",
            "outcome",
            "identity_name",
            "score",
            "threshold",
            "opened_at",
            "scan_id",
        )
        rows = [
            {
                **{name: getattr(case, name) for name in told},
                "file": case.checkpoint.file,
                "sha256": case.checkpoint.sha256,
                "withdrawn": case.identity_id in gone,
            }
            for case in found
        ]
        print_json({"cases": rows})
        return
    if not found:
        typer.echo(
            "No case. `portrait-scanner scan` opens one for every match that nobody authorised."
        )
        if (demo := flags.settings().home / "demo").is_dir():
            typer.echo(
                f"Those of the demo are in a home of their own: portrait-scanner --home {demo} cases"
            )
        return
    print_table(
        ("case", "status", "verdict", "person", "score", "file", "opened"),
        [
            (
                case.case_id, case.status, case.outcome, case.identity_name + (" (withdrawn)" if case.identity_id in gone else ""), f"{case.score:.2f}", case.checkpoint.file,
                case.opened_at[:10],
            )
            for case in found
        ],
    )  # fmt: skip


def review(
    context: typer.Context,
    case_id: CaseArgument,
    decision: Annotated[str, typer.Option(help="confirm, reject, more-samples or authorised.")],
    reviewer: Annotated[
        str, typer.Option(help="The name of the person who decides; it stands in the report.")
    ],
    reason: Annotated[str, typer.Option(help="Why, in words; it stands in the report.")],
    as_json: JsonFlag = False,
) -> None:
    """Decide about a case. Decisions are added, never overwritten; with four_eyes two people must confirm."""
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    service = CaseService(flags.settings())
    case = service.review(case_id, reviewer, decision, reason)
    warn_of_withdrawal(service, case)
    service.close()
    if as_json:
        print_json({"case_id": case.case_id, "status": case.status})
    else:
        typer.echo(f"Case {case.case_id} is now {case.status}.")


def warn_of_withdrawal(service: CaseService, case: Case) -> None:
    """Say where the person of a case is no longer registered."""
    if service.has_withdrawn(case):
        typer.secho(
            f"{case.identity_name} has withdrawn: begin nothing new for them; what is here is kept as evidence.",
            err=True, fg="yellow",
        )  # fmt: skip


def amend(
    context: typer.Context,
    case_id: CaseArgument,
    kind: Annotated[str, typer.Option(help="appeal (asks for a new review) or correction.")],
    by: Annotated[str, typer.Option(help="Who says it.")],
    text: Annotated[str, typer.Option(help="What they say.")],
    as_json: JsonFlag = False,
) -> None:
    """Add an appeal or a correction to a case; nothing is overwritten."""
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    service = CaseService(flags.settings())
    entry = service.amend(case_id, kind, by, text)
    status = service.case(case_id).status
    service.close()
    if as_json:
        print_json({"number": entry.number, "kind": entry.kind, "status": status})
    else:
        typer.echo(f"Added as entry {entry.number}; the case is now {status}.")


def report(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="A case's id for its own report; a scan's id, or latest, for its overview.",
            metavar="CASE|SCAN",
        ),
    ] = "latest",
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write into.", show_default="among the home's reports"),
    ] = None,
    lang: LanguageOption = "en",
    bundle: Annotated[
        bool,
        typer.Option(
            "--bundle", help="Also seal the evidence of the case, signed and timestamped."
        ),
    ] = False,
    redacted: Annotated[
        bool,
        typer.Option("--redacted", help="For the hub: pictures blurred, no reviewers, no machine."),
    ] = False,
    with_weights: Annotated[
        bool, typer.Option("--with-weights", help="Put the weights file into the bundle as well.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also write PDF/A.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write the report of a case, as HTML and PDF, or the overview of a scan, as HTML."""
    check_language(lang)
    if bundle and redacted:
        raise typer.BadParameter(
            "a bundle is the whole evidence; write the redacted copy without --bundle",
            param_hint="--redacted",
        )
    if with_weights and not bundle:
        raise typer.BadParameter(
            "the weights go into a bundle: add --bundle", param_hint="--with-weights"
        )
    from reports.errors import UnknownCase
    from reports.evidence.bundle import BundleRequest
    from scanner.casework.service import CaseService

    flags: Flags = context.obj
    settings = flags.settings()
    service = CaseService(settings)
    folder = out or settings.reports_path
    try:
        known = service.case_store.case(what)
    except UnknownCase:
        service.close()
        if bundle or redacted or (what.isalnum() and what != "latest"):
            raise
        _scan_report(flags, what, out, lang, as_json)
        return
    from reports.documents.pdf import pdf_problem

    languages = BundleRequest().languages if bundle else (lang,)
    if pdf and (problem := next(filter(None, map(pdf_problem, languages)), None)):
        typer.secho(problem, err=True, fg="yellow")
        pdf = False
    written: dict[str, Any] = dict(
        service.write_report(known.case_id, folder, lang, redacted=redacted, pdf=pdf)
    )
    if bundle:
        written["bundle"] = service.write_bundle(
            known.case_id, folder, with_weights=with_weights, pdf=pdf
        )
        from reports.evidence.timestamping import pending

        written["pending_timestamps"] = pending(written["bundle"])
    service.close()
    if as_json:
        print_json({"case": known.case_id, "status": known.status, **written})
    else:
        _tell(known.case_id, known.status, written, asked=bool(settings.timestamp_authorities))


def _tell(case_id: str, status: str, written: dict[str, Any], *, asked: bool) -> None:
    """What was written, in sentences; `asked` says whether any timestamp authority is configured."""
    for name, title in (("html", "HTML"), ("pdf", "PDF"), ("bundle", "Bundle")):
        if name in written:
            typer.echo(f"{title}: {written[name]}")
    if waiting := written.get("pending_timestamps"):
        command = f"portrait-scanner timestamp {written['bundle']}"
        typer.echo(f"Not timestamped yet by {', '.join(waiting)}; ask again with `{command}`")
    elif "bundle" in written and not asked:
        typer.echo(
            "Not timestamped: no authority is configured (timestamp_authorities; see docs/evidence.md)."
        )
    if status == "draft":
        typer.echo(
            f"It is a draft until somebody decides: portrait-scanner review {case_id} --help"
        )


def _scan_report(flags: Flags, scan_id: str, out: Path | None, lang: str, as_json: bool) -> None:
    from scanner.cli.scanning import write_report
    from scanner.scanning.scan import result_of
    from scanner.scanning.session import ScanSession

    scan_session = ScanSession(flags.settings())
    result = result_of(scan_session, scan_id)
    if out is not None and out.suffix.lower() != ".html":
        out = out / f"{result.scan.scan_id}.{lang}.html"
    path = write_report(scan_session, result, lang, out)
    scan_session.close()
    if as_json:
        print_json({"report": str(path), "scan": result.scan.scan_id, "results": list(result.rows)})
    else:
        typer.echo(f"Report: {path}")
