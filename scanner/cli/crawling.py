"""`hubs`, `crawl`: what the hubs list, swept without loss and kept with all that happens to it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from scanner.cli.context import (
    Flags,
    JsonFlag,
    day_of,
    print_gaps,
    print_json,
    print_table,
    progress_bar,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlers.http.transport import Transport
    from crawlers.hubs.registry import HubRegistry
    from crawlers.sweeps.crawl_store import CrawlStore
    from crawlers.sweeps.sweep import SweepStep
    from scanner.settings import Settings

LONGEST_SINCE_DAYS = 36_500
TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only these, in the hub's own words; see `hubs`. May be repeated."),
]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("hubs")(hubs)
    app.command("crawl")(crawl)


@dataclasses.dataclass(frozen=True, slots=True)
class CrawlSession:
    """What a crawling command works with; see `crawl_session`."""

    settings: Settings
    transport: Transport
    door: HubRegistry
    store: CrawlStore


@contextmanager
def crawl_session(context: typer.Context, targets: Iterable[str]) -> Iterator[CrawlSession]:
    """Store, client and hubs for the duration of a with-block; typed hosts are allowed."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.network import allow_typed, open_hubs, open_transport

    flags: Flags = context.obj
    settings = flags.settings()
    transport, store = open_transport(settings), CrawlStore(settings.crawl_path)
    allow_typed(transport, targets)
    try:
        yield CrawlSession(settings, transport, open_hubs(settings, transport), store)
    finally:
        transport.close()
        store.close()


def hubs(
    context: typer.Context,
    store_token: Annotated[
        str | None,
        typer.Option(
            help="Ask for this hub's token and put it into the system's keyring.", metavar="HUB"
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """The hubs that can be crawled, and how far their sweeps have come."""
    from crawlers.hubs.registry import REMOTE_HUBS
    from crawlers.sweeps.partitions import gaps_of
    from scanner.network import keep_token, token_of

    if store_token is not None:
        if store_token not in REMOTE_HUBS:
            raise typer.BadParameter(
                f"{store_token!r} is none of {', '.join(REMOTE_HUBS)}", param_hint="--store-token"
            )
        keep_token(store_token, typer.prompt(f"Token of {store_token}", hide_input=True))
        typer.echo('Kept. Set hub_tokens = "keyring" in portrait-scanner.toml to have it used.')
        return
    with crawl_session(context, ()) as session:
        sweeps = [
            {**row, "gaps": list(gaps_of(session.store, row["sweep_id"]))}
            for row in session.store.db.table("sweeps").rows_where(
                order_by="sweep_id desc", limit=200
            )
        ]
        known = [
            {
                "hub": name,
                "address": hub.address,
                "types": hub.types,
                "token": token_of(session.settings, name) is not None,
            }
            for name, hub in REMOTE_HUBS.items()
        ]
    if as_json:
        print_json({"hubs": known, "sweeps": sweeps})
        return
    print_table(
        ["hub", "address", "--type", "token"],
        [
            [
                str(one["hub"]),
                str(one["address"]),
                str(one["types"]),
                "yes" if one["token"] else "no",
            ]
            for one in known
        ],
    )
    typer.echo(
        "Also a folder, s3://bucket/prefix, an exported list (name=list.csv), and a hub elsewhere: civitai=https://host"
    )
    if sweeps:
        rows = [
            [one["place"], (one["since"] or "everything")[:16], one["started_at"][:19],
             (one["finished_at"] or ("with gaps" if one["gaps"] else "goes on"))[:19], str(one["pages"]), str(one["listings"])]
            for one in sweeps[:20]
        ]  # fmt: skip
        print_table(["sweep of", "since", "started (UTC)", "finished", "pages", "listings"], rows)


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
            help="Stop once so many listings more are in; run again to go on.", min=1, max=10**9
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
    """Sweep a hub: every listing and every version of it, and what was changed, flagged, taken down or came back."""
    from crawlers.sweeps.sweep import sweep
    from scanner.factories import utc_now

    start = None if since is None else _moment_of(since)
    counts: Counter[str] = Counter()
    notes: list[str] = []
    step: SweepStep | None = None
    headers = {"read": 0, "failed": 0}
    with crawl_session(context, [hub]) as session:
        opened, place = session.door.open(hub, types or ()), place_of(hub, types)
        with progress_bar("crawling") as observer:
            for step in sweep(
                opened, place, session.store, utc_now, start, session.settings.workers
            ):
                counts.update(str(event.kind) for event in step.events)
                notes += step.notes
                observer.step(step.listings, None, f"page {step.pages}{budget_left(session, hub)}")
                if limit is not None and step.listings - step.before >= limit:
                    break
        if triage:
            headers = read_and_count(session, place, limit, notes)
    told = dict(counts)
    if step is None:
        return
    print_gaps(step.gaps)
    if as_json:
        document = {"hub": hub, "since": start.isoformat() if start else None, "finished": step.finished, "pages": step.pages,
                    "listings": step.listings, "events": told, "headers": headers, "gaps": list(step.gaps), "notes": notes}  # fmt: skip
        print_json(document)
        raise typer.Exit(3 if step.gaps else 0)
    happened = ", ".join(f"{count} {kind}" for kind, count in told.items()) or "nothing new"
    typer.echo(
        f"{step.listings} listings on {step.pages} pages{'' if step.finished else ' so far'}: {happened}."
    )
    if triage:
        typer.echo(f"{headers['read']} headers read, {headers['failed']} not to be had.")
    print_notes(notes)
    raise typer.Exit(3 if step.gaps else 0)


def read_and_count(
    session: CrawlSession, place: str, limit: int | None, notes: list[str]
) -> dict[str, int]:
    """Read the headers of a place with a progress bar; how many were read and how many were not to be had."""
    from scanner.factories import utc_now
    from scanner.triage.crawled_headers import read_headers

    counts = {"read": 0, "failed": 0}
    with progress_bar("headers") as observer:
        for step in read_headers(
            session.store, session.transport, utc_now, place, limit, session.settings.workers
        ):
            counts["failed" if step.problem else "read"] += 1
            if step.problem:
                notes.append(step.problem)
            observer.step(step.done, limit, step.wanted.file.name)
    return counts


def place_of(hub: str, types: list[str] | None) -> str:
    """A target as sweeps are remembered under it: one narrowed to types is another place."""
    return " ".join([hub, *sorted(types or ())])


def print_notes(notes: list[str]) -> None:
    """Notes on standard error, each once."""
    for note, count in Counter(notes).items():
        typer.secho(
            visible(f"{note} ({count} times)" if count > 1 else note), err=True, fg="yellow"
        )


def budget_left(session: CrawlSession, hub: str) -> str:
    """What the hub says is left of its budget, for a progress bar."""
    from crawlers.hubs.registry import REMOTE_HUBS

    name, _, address = hub.partition("=")
    known = REMOTE_HUBS.get(name)
    host = urlsplit(address or (known.address if known else hub)).hostname
    state = session.transport.budgets.state(host or "")
    left = f", {state.remaining} requests left" if state.remaining is not None else ""
    return left + (f" in {state.window_s} s" if left and state.window_s else "")


def _moment_of(text: str) -> datetime:
    days = re.fullmatch(r"([0-9]{1,5})d", text)
    if days and int(days[1]) <= LONGEST_SINCE_DAYS:
        return datetime.now(UTC) - timedelta(days=int(days[1]))
    day = day_of(text, "--since")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def as_found(listing: Any, **more: Any) -> dict[str, Any]:
    """A listing in the JSON contract of `listings`, `lookup` and `fetch`."""
    from crawlers.listing import listing_to_dict

    return {**listing_to_dict(listing), **more}
