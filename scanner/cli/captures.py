"""`captures list`, `remove`, `waiting`, `release`, `judge`: captures, and who may be told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.capture_verdicts import judge_all, print_verdicts
from scanner.cli.commands import CommandGroup
from scanner.cli.context import case_service_of, intake_of, releases_of, scan_store_of, settings_of
from scanner.cli.options import FacePackOption, JsonFlag, LimitOption, page_size
from scanner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from scanner.captures.overview import CaptureLine
    from scanner.captures.releases import PendingRelease

group = CommandGroup("List, show, correct, remove and judge what was captured.")
CaptureArgument = Annotated[
    str, typer.Argument(help="A capture's id, or at least 8 digits of it.", metavar="ID")
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `captures` to a panel."""
    app.add_typer(group, name="captures", rich_help_panel=panel)


@group.command("list")
def list_captures(
    context: typer.Context,
    find: Annotated[
        str,
        typer.Option(help="Only those with this in their name, title, account, site or address."),
    ] = "",
    limit: LimitOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List captures with their verdicts, newest first.

    Each is listed with its account, and with the cases that rest on it.
    """
    from reports.cases.case_store import CaseStore
    from scanner.captures.overview import overview

    settings = settings_of(context)
    with intake_of(settings) as intake, scan_store_of(settings) as scan_store:
        case_store = CaseStore(settings.cases_path, settings.evidence_path)
        captures, most = intake.captures, page_size(limit, as_json=as_json)
        page = captures.newest(find, limit=None if most is None else most + 1)
        lines = list(overview(captures, page[:most], scan_store.captures, case_store))
        case_store.close()
    if as_json:
        print_json({"captures": [_line_document(line) for line in lines]})
    elif lines:
        titles = ("id", "taken in", "name", "account", "outcome", "case")
        print_table(titles, [_row(line) for line in lines])
        if len(page) > len(lines):
            print_line(f"The newest {len(lines):,}; see all with --limit 0.")
    elif find:
        print_line(f"Nothing captured has {find!r} in it.")
    else:
        typer.echo("Nothing was captured yet: portrait-scanner intake FILES")


def _line_document(line: CaptureLine) -> dict[str, Any]:
    return {
        **asdict(line.capture),
        "title": line.title,
        "accounts": list(line.accounts),
        "outcome": line.outcome,
        "waits": line.waits,
        "cases": list(line.cases),
    }


def _row(line: CaptureLine) -> tuple[str, ...]:
    accounts, capture = line.accounts, line.capture
    more = f" and {len(accounts) - 1} more" if len(accounts) > 1 else ""
    outcome = "waits for a second person" if line.waits else line.outcome or "not searched"
    return (
        capture.capture_id[:12],
        capture.taken_in_at[:10],
        capture.name,
        f"{accounts[0]}{more}" if accounts else "",
        f"not read: {capture.problem}" if capture.problem else outcome,
        " ".join(line.cases),
    )


@group.command("remove")
def remove(
    context: typer.Context,
    capture: CaptureArgument,
    reason: Annotated[
        str, typer.Option(help="Why; it stays in the audit log, with the file's SHA-256.")
    ],
) -> None:
    """Delete a capture that was taken in by mistake.

    Original, seal, pages and images are deleted. A capture that a case rests on is kept.
    """
    settings = settings_of(context)
    with intake_of(settings) as intake, case_service_of(settings) as service:
        row = service.remove_capture(intake.captures, capture, reason)
    print_line(f"Removed {row.name}. Its SHA-256 and the reason are in the audit log.")


@group.command("waiting")
def waiting(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List what waits for a second person.

    The list names who captured what, from which account or page. It does not name whom a
    capture may show.
    """
    settings = settings_of(context)
    with intake_of(settings) as intake, releases_of(settings, intake) as releases:
        found = [_waiting_document(entry) for entry in releases.waiting()]
    if as_json:
        print_json({"waiting": found})
        return
    if not found:
        typer.echo("Nothing waits for a second person.")
        return
    print_table(
        ("account or capture", "capture", "pages", "images", "searched", "taken in by"),
        [
            (
                entry["name"],
                entry["captures"][0][:12],
                str(entry["pages"]),
                str(entry["images"]),
                "yes" if entry["searched"] else "not yet",
                ", ".join(entry["brought_by"]),
            )
            for entry in found
        ],
    )
    typer.echo(
        "Somebody else looks at the pages (captures show ID) and decides: "
        "portrait-scanner captures release ID --help"
    )


def _waiting_document(entry: PendingRelease) -> dict[str, Any]:
    subject = entry.subject
    return {
        "name": subject.name,
        "captures": sorted({page.capture_id for page in subject.pages.values()}),
        "pages": len(subject.pages),
        "images": len(subject.images),
        "searched": entry.searched,
        "brought_by": sorted(entry.brought_by),
    }


@group.command("release")
def release(
    context: typer.Context,
    capture: CaptureArgument,
    by: Annotated[str, typer.Option(help="Who decides: not whoever took it in or corrected it.")],
    reason: Annotated[
        str, typer.Option(help="Why these pages may be searched for registered people, or may not.")
    ],
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not release it.")] = False,
) -> None:
    """Release what a capture may show, as a second person.

    `captures judge` then tells whom it shows.
    """
    from scanner.captures.releases import Person, ReleaseDecision
    from scanner.clock import utc_now
    from scanner.errors import ReleaseRefused

    settings = settings_of(context)
    decision = ReleaseDecision.REFUSE if refuse else ReleaseDecision.RELEASE
    with intake_of(settings) as intake, releases_of(settings, intake) as releases:
        row = intake.captures.find(capture)
        found = list(releases.waiting(row.capture_id))
        if not found:
            raise ReleaseRefused(
                f"nothing of {row.name} waits for a second person; `captures waiting` lists what "
                "does"
            )
        person = Person(by, by, intake.vault.audit.login if settings.two_people else ())
        for entry in found:
            releases.decide(entry, person, decision, reason, utc_now())
    result = "Not released" if refuse else "Released"
    names = ", ".join(entry.subject.name for entry in found)
    print_line(f"{result}: {names}. `captures judge` goes on with it.")


@group.command("judge")
def judge(
    context: typer.Context, face_pack: FacePackOption = None, as_json: JsonFlag = False
) -> None:
    """Search the faces of everything that was captured.

    What was judged before and did not change is not read again.
    """
    verdicts = judge_all(settings_of(context, face_pack=face_pack))
    if as_json:
        print_json({"judged": [verdict.to_json() for verdict in verdicts]})
    else:
        print_verdicts(verdicts)
