"""`hubs`, `crawl`: the hubs, and sweeps that read all their listings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from scanner.cli.context import CrawlSession, crawl_session_of, settings_of
from scanner.cli.options import JsonFlag, date_from
from scanner.cli.output import print_gaps, print_json, print_notes, print_table
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from crawlers.sweeps.sweep import SweepStep

LONGEST_SINCE_DAYS = 36_500
_MOST_SWEEPS = 200
_MOST_SWEEPS_SHOWN = 20

TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only these, in the hub's own words; see `hubs`. May be repeated."),
]
StoreTokenOption = Annotated[
    str | None,
    typer.Option(
        help="Ask for this hub's token and put it into the system's keyring.", metavar="HUB"
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("hubs", rich_help_panel=panel)(hubs)
    app.command("crawl", rich_help_panel=panel)(crawl)


def hubs(
    context: typer.Context, store_token: StoreTokenOption = None, as_json: JsonFlag = False
) -> None:
    """List the hubs that can be crawled, and their sweeps."""
    if store_token is not None:
        _store_token(store_token)
        return
    with crawl_session_of(settings_of(context), ()) as session:
        known, sweeps = _known_hubs(session), _latest_sweeps(session)
    if as_json:
        print_json({"hubs": known, "sweeps": sweeps})
        return
    print_table(
        ["hub", "address", "--type", "token"],
        [
            [
                str(hub["hub"]),
                str(hub["address"]),
                str(hub["types"]),
                "yes" if hub["token"] else "no",
            ]
            for hub in known
        ],
    )
    typer.echo(
        "Also a folder, s3://bucket/prefix, an exported list (name=list.csv), and a hub elsewhere: "
        "civitai=https://host"
    )
    if sweeps:
        rows = [_sweep_row(sweep) for sweep in sweeps[:_MOST_SWEEPS_SHOWN]]
        print_table(["sweep of", "since", "started (UTC)", "finished", "pages", "listings"], rows)


def _store_token(hub: str) -> None:
    from crawlers.hubs.registry import REMOTE_HUBS
    from scanner.factories.network import keep_token

    if hub not in REMOTE_HUBS:
        raise typer.BadParameter(
            f"{hub!r} is none of {', '.join(REMOTE_HUBS)}", param_hint="--store-token"
        )
    keep_token(hub, typer.prompt(f"Token of {hub}", hide_input=True))
    typer.echo('Kept. Set hub_tokens = "keyring" in portrait-scanner.toml to have it used.')


def _known_hubs(session: CrawlSession) -> list[dict[str, Any]]:
    from crawlers.hubs.registry import REMOTE_HUBS
    from scanner.factories.network import token_of

    return [
        {
            "hub": name,
            "address": hub.address,
            "types": hub.types,
            "token": token_of(session.settings, name) is not None,
        }
        for name, hub in REMOTE_HUBS.items()
    ]


def _latest_sweeps(session: CrawlSession) -> list[dict[str, Any]]:
    from crawlers.sweeps.partitions import gaps_of

    rows = session.store.db.table("sweeps").rows_where(order_by="sweep_id desc", limit=_MOST_SWEEPS)
    return [{**row, "gaps": list(gaps_of(session.store, row["sweep_id"]))} for row in rows]


def _sweep_row(sweep: dict[str, Any]) -> list[str]:
    unfinished = "with gaps" if sweep["gaps"] else "unfinished"
    return [
        sweep["place"],
        (sweep["since"] or "everything")[:16],
        sweep["started_at"][:19],
        (sweep["finished_at"] or unfinished)[:19],
        str(sweep["pages"]),
        str(sweep["listings"]),
    ]


@dataclass
class CrawlResult:
    """What a sweep came to; `last` is None where the hub gave no page at all."""

    last: SweepStep | None = None
    events: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    headers: dict[str, int] = field(default_factory=lambda: {"read": 0, "failed": 0})


def crawl(
    context: typer.Context,
    hub: Annotated[
        str,
        typer.Argument(
            help="A hub, hub=https://host, a folder, s3://..., or an export.", metavar="HUB"
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(help="Only what changed since: a date (2026-11-01), or days as 7d."),
    ] = None,
    types: TypeOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many more listings; run again to go on.", min=1, max=10**9
        ),
    ] = None,
    triage: Annotated[
        bool,
        typer.Option(
            "--triage",
            help="Then read the headers of the listed files, the likeliest likeness first.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read every listing of a hub, and record what changed.

    Every version of a listing is kept, and so is what was changed, flagged, taken down or came
    back.
    """
    start = None if since is None else _moment_from(since)
    with crawl_session_of(settings_of(context), [hub]) as session:
        result = _sweep(session, hub, types, start, limit)
        if triage:
            result.headers = read_and_count(session, place_of(hub, types), limit, result.notes)
    if result.last is None:
        return
    print_gaps(result.last.gaps)
    if as_json:
        print_json(_crawl_document(result, result.last, hub, start))
    else:
        _print_crawl(result, result.last, triage=triage)
    raise typer.Exit(3 if result.last.gaps else 0)


def _sweep(
    session: CrawlSession,
    hub: str,
    types: list[str] | None,
    start: datetime | None,
    limit: int | None,
) -> CrawlResult:
    """Sweep a hub with a progress bar."""
    from crawlers.sweeps.sweep import sweep
    from scanner.clock import utc_now

    result = CrawlResult()
    opened, place = session.hubs.open(hub, types or ()), place_of(hub, types)
    workers = session.settings.workers
    with progress_bar("crawling") as observer:
        for step in sweep(opened, place, session.store, utc_now, start, workers):
            result.last = step
            result.events.update(str(event.kind) for event in step.events)
            result.notes += step.notes
            observer.step(step.listings, None, f"page {step.pages}{budget_left(session, hub)}")
            if limit is not None and step.listings - step.before >= limit:
                break
    return result


def _crawl_document(
    result: CrawlResult, last: SweepStep, hub: str, start: datetime | None
) -> dict[str, Any]:
    """The JSON contract of `crawl`."""
    return {
        "hub": hub,
        "since": start.isoformat() if start else None,
        "finished": last.finished,
        "pages": last.pages,
        "listings": last.listings,
        "events": dict(result.events),
        "headers": result.headers,
        "gaps": list(last.gaps),
        "notes": result.notes,
    }


def _print_crawl(result: CrawlResult, last: SweepStep, *, triage: bool) -> None:
    events = ", ".join(f"{count} {kind}" for kind, count in result.events.items())
    so_far = "" if last.finished else " so far"
    typer.echo(
        f"{last.listings} listings on {last.pages} pages{so_far}: {events or 'nothing new'}."
    )
    if triage:
        headers = result.headers
        typer.echo(f"{headers['read']} headers read, {headers['failed']} could not be read.")
    print_notes(result.notes)


def read_and_count(
    session: CrawlSession, place: str, limit: int | None, notes: list[str]
) -> dict[str, int]:
    """Read the headers of a place with a progress bar, and count those read and those failed."""
    from scanner.clock import utc_now
    from scanner.triage.crawled_headers import read_headers

    counts = {"read": 0, "failed": 0}
    workers = session.settings.workers
    with progress_bar("headers") as observer:
        for step in read_headers(session.store, session.transport, utc_now, place, limit, workers):
            counts["failed" if step.problem else "read"] += 1
            if step.problem:
                notes.append(step.problem)
            observer.step(step.done, limit, step.wanted.file.name)
    return counts


def place_of(hub: str, types: list[str] | None) -> str:
    """The name that a sweep is stored under; one that is narrowed to types has its own."""
    return " ".join([hub, *sorted(types or ())])


def budget_left(session: CrawlSession, hub: str) -> str:
    """What is left of a hub's request budget, for a progress bar."""
    from crawlers.hubs.registry import REMOTE_HUBS

    name, _, address = hub.partition("=")
    known = REMOTE_HUBS.get(name)
    host = urlsplit(address or (known.address if known else hub)).hostname
    state = session.transport.budgets.state(host or "")
    left = f", {state.remaining} requests left" if state.remaining is not None else ""
    return left + (f" in {state.window_s} s" if left and state.window_s else "")


def _moment_from(text: str) -> datetime:
    days = re.fullmatch(r"([0-9]{1,5})d", text)
    if days and int(days[1]) <= LONGEST_SINCE_DAYS:
        return datetime.now(UTC) - timedelta(days=int(days[1]))
    day = date_from(text, "--since")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
