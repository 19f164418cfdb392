"""`cases`, `review`, `amend`: cases, and what people decide about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import case_service_of, settings_of
from scanner.cli.options import AfterOption, CaseArgument, JsonFlag, LimitOption, page_size
from scanner.cli.output import (
    print_json,
    print_line,
    print_page_end,
    print_table,
    print_warning,
)

if TYPE_CHECKING:
    from pathlib import Path

    from reports.cases.case import Case
    from reports.cases.case_summary import CaseSummary
    from scanner.casework.service import CaseService

_JSON_FIELDS = (
    "case_id",
    "status",
    "outcome",
    "identity_name",
    "score",
    "threshold",
    "opened_at",
)


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("cases", rich_help_panel=panel)(cases)
    app.command("review", rich_help_panel=panel)(review)
    app.command("amend", rich_help_panel=panel)(amend)


def cases(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="Only these: draft, confirmed, rejected and so on.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="Only those about this person, by name or id.")
    ] = None,
    words: Annotated[
        str, typer.Option("--search", help="A part of the person, file, title, uploader or hash.")
    ] = "",
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the cases that scans have opened, newest first."""
    from reports.cases.case_list import CaseFilter, CaseOrder
    from reports.cases.listings import places_of
    from reports.cases.review import CaseStatus

    if status not in (None, *CaseStatus):
        raise typer.BadParameter(
            f"{status!r} is not one of {', '.join(CaseStatus)}", param_hint="--status"
        )
    settings, most = settings_of(context), page_size(limit, as_json=as_json)
    with case_service_of(settings) as service:
        lists = service.case_store.lists
        identity_id = service.vault.people.find(identity).identity_id if identity else None
        statuses = (status,) if status else ()
        wanted = CaseFilter(statuses, identity_id=identity_id, words=words)
        more = -1 if most is None else most + 1
        page = lists.page(wanted, CaseOrder.NEWEST, after=after, limit=more)
        found, total = page[:most], lists.count(wanted)
        scans = lists.scans_of(case.case_id for case in found)
        registered = service.vault.people.registered_among(case.identity_id for case in found)
    if as_json:
        rows = [
            {
                **{name: getattr(case, name) for name in _JSON_FIELDS},
                "scan_id": scans[case.case_id],
                "file": case.file,
                "sha256": case.sha256,
                "withdrawn": case.identity_id not in registered,
                "listings": places_of(case),
            }
            for case in found
        ]
        print_json({"cases": rows, "total": total})
    elif found:
        print_table(
            ("case", "status", "verdict", "person", "score", "file", "opened"),
            [_row(case, withdrawn=case.identity_id not in registered) for case in found],
        )
        if len(page) > len(found):
            print_page_end(len(found), total, f"--after {found[-1].case_id}")
    else:
        _print_no_case(settings.home / "demo")


def _row(case: CaseSummary, *, withdrawn: bool) -> tuple[str, ...]:
    return (
        case.case_id,
        case.status,
        case.outcome,
        case.identity_name + (" (withdrawn)" if withdrawn else ""),
        f"{case.score:.2f}",
        case.file,
        case.opened_at[:10],
    )


def _print_no_case(demo: Path) -> None:
    typer.echo("No case. `portrait-scanner scan` opens one for every match that nobody authorised.")
    if demo.is_dir():
        typer.echo(
            f"Those of the demo are in a home of their own: portrait-scanner --home {demo} cases"
        )


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
    """Decide about a case.

    Decisions are added, never overwritten; with four_eyes two people must confirm.
    """
    with case_service_of(settings_of(context)) as service:
        case = service.review(case_id, reviewer, decision, reason)
        warn_of_withdrawal(service, case)
    if as_json:
        print_json({"case_id": case.case_id, "status": case.status})
    else:
        typer.echo(f"Case {case.case_id} is now {case.status}.")


def warn_of_withdrawal(service: CaseService, case: Case) -> None:
    """Print a warning if the person of a case is no longer registered."""
    if service.has_withdrawn(case):
        print_warning(
            f"{case.identity_name} has withdrawn: begin nothing new for them; what is here is "
            "kept as evidence."
        )


def amend(
    context: typer.Context,
    case_id: CaseArgument,
    kind: Annotated[str, typer.Option(help="appeal (asks for a new review) or correction.")],
    by: Annotated[str, typer.Option(help="Who says it.")],
    text: Annotated[str, typer.Option(help="What they say.")],
    as_json: JsonFlag = False,
) -> None:
    """Add an appeal or a correction; nothing is overwritten."""
    with case_service_of(settings_of(context)) as service:
        entry = service.amend(case_id, kind, by, text)
        status = service.case(case_id).status
    if as_json:
        print_json({"number": entry.number, "kind": entry.kind, "status": status})
    else:
        print_line(f"Added as entry {entry.number}; the case is now {status}.")
