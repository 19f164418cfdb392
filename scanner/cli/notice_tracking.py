"""`notice list`, `notice mark`, `notice recheck`: what became of notices."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.cases import warn_of_withdrawal
from scanner.cli.context import case_service_of, settings_of
from scanner.cli.notices import group
from scanner.cli.options import AfterOption, JsonFlag, LimitOption, OperatorOption, page_size
from scanner.cli.output import print_json, print_line, print_page_end, print_table

if TYPE_CHECKING:
    from reports.notices.tracker import Tracked
    from scanner.casework.rechecking import Rechecked

# Longer periods are told in days.
_MOST_HOURS = 72


def add_to(_app: typer.Typer, _panel: str) -> None:
    """Add the commands of this module to the group `notice`."""
    group.command("list")(list_notices)
    group.command("mark")(mark)
    group.command("recheck")(recheck)


def list_notices(
    context: typer.Context,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List every notice with its state and its deadline.

    Those that are due first are at the top.
    """
    from reports.notices.tracker import count_notices, notice_page

    most = page_size(limit, as_json=as_json)
    with case_service_of(settings_of(context)) as service:
        more = -1 if most is None else most + 1
        page = notice_page(service.case_store, after=after, limit=more)
        found, total = page[:most], count_notices(service.case_store)
        now = service.clock()
    if as_json:
        print_json({"notices": [_document(notice, now) for notice in found], "total": total})
    elif found:
        print_table(
            ("notice", "kind", "state", "since", "clock", "address"),
            [_row(notice, now) for notice in found],
        )
        if len(page) > len(found):
            print_page_end(len(found), total, f"--after {found[-1].cursor}")
    else:
        typer.echo("No notice yet: portrait-scanner notice draft CASE NOTICE --out FOLDER")


def _document(notice: Tracked, now: datetime) -> dict[str, Any]:
    return {
        "notice": notice.notice_id,
        "case": notice.case_id,
        "template": notice.template,
        "state": notice.state,
        "url": notice.url,
        "due": notice.due,
        "overdue": notice.overdue(now),
        "history": [
            {"at": entry.at, "by": entry.actor, **entry.details} for entry in notice.history
        ],
    }


def _row(notice: Tracked, now: datetime) -> tuple[str, ...]:
    from reports.notices.tracker import happened_at

    since = f"{happened_at(notice.history[-1]):%Y-%m-%dT%H:%M}"
    return (
        notice.notice_id, notice.template, notice.state, since, _deadline(notice, now), notice.url
    )  # fmt: skip


def _deadline(notice: Tracked, now: datetime) -> str:
    """Until when a notice must be sent or answered, and how long that is."""
    if notice.due is None:
        return ""
    seconds = (notice.due - now).total_seconds()
    hours, days = abs(seconds) / 3600, abs(seconds) / 86_400
    length = f"{hours:.0f} h" if days <= _MOST_HOURS / 24 else f"{days:.0f} days"
    what = "send by" if notice.state == "drafted" else "answer by"
    left = f"{length} left" if seconds >= 0 else f"OVERDUE by {length}"
    return f"{what} {notice.due:%Y-%m-%d %H:%M} UTC, {left}"


def mark(
    context: typer.Context,
    notice_id: Annotated[str, typer.Argument(metavar="NOTICE")],
    event: Annotated[
        str, typer.Argument(help="sent, acknowledged, removed, refused, reinstated or cancelled.")
    ],
    at: Annotated[
        str | None,
        typer.Option(
            help="When, as 2026-11-25T09:30+08:00; clocks run from then.", show_default="now"
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="A reference number or an answer, in words.")] = "",
    operator: OperatorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Record what happened to a notice.

    The deadline that a law sets runs from the time at which the notice is marked as sent.
    """
    from reports.notices.tracker import record_event

    with case_service_of(settings_of(context, operator=operator)) as service:
        actor, store = service.rules.operator, service.case_store
        notice = record_event(store, notice_id, event, actor, service.clock(), note, _moment(at))
        case = store.case(notice.case_id)
        service.note_notice(case, "notice-marked", actor, notice=notice_id, state=event)
        warn_of_withdrawal(service, case)
    if as_json:
        print_json({"notice": notice_id, "state": notice.state, "due": notice.due})
        return
    due = f"; an answer is due by {notice.due:%Y-%m-%d %H:%M} UTC." if notice.due else "."
    print_line(f"Notice {notice_id} is {notice.state}{due}")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time like 2026-11-25T09:30+08:00", param_hint="--at"
        ) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} does not say in which time zone; add +00:00 or the like", param_hint="--at"
        )
    return moment


def recheck(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Check whether what open notices name is still there.

    What is gone is marked as removed, and what is back as reinstated.
    """
    from scanner.casework.rechecking import recheck_notices
    from scanner.factories.network import open_transport

    settings = settings_of(context)
    with case_service_of(settings) as service, closing(open_transport(settings)) as transport:
        found = recheck_notices(service, transport)
    if as_json:
        rows = [
            {
                "notice": notice.notice_id,
                "found": notice.found,
                "state": notice.state,
                "addresses": dict(notice.addresses),
            }
            for notice in found
        ]
        print_json({"notices": rows})
    elif not found:
        typer.echo("No notice is open.")
    for notice in [] if as_json else found:
        _print_rechecked(notice)
    unclear = any(notice.found not in ("there", "gone") for notice in found)
    raise typer.Exit(3 if unclear else 0)


def _print_rechecked(notice: Rechecked) -> None:
    print_line(f"{notice.notice_id}: {notice.found}; {notice.state}")
    for url, answer in notice.addresses if len(notice.addresses) > 1 else ():
        print_line(f"  {answer}: {url}")
