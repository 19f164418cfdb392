"""`watch`: hubs that are swept again and again, with one line for each event."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import CrawlSession, crawl_session_of, settings_of
from scanner.cli.hubs import budget_left, read_and_count
from scanner.cli.output import print_error, print_line, print_notes
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from crawlers.listing import Hub
    from crawlers.sweeps.crawl_store import CrawlStore
    from crawlers.sweeps.sweep import SweepStep
    from crawlers.sweeps.webhooks import Webhook

log = logging.getLogger(__name__)

SHORTEST_EVERY_MINUTES = 5  # hubs let their answers be cached that long


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("watch", rich_help_panel=panel)(watch)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What each round of a watched hub does.

    Attributes:
        full_every: after this time everything is read again.
        headers: how many headers are read after each round.
    """

    full_every: timedelta
    hook: Webhook | None
    headers: int
    as_json: bool


@dataclass
class Round:
    """One round of one hub.

    Attributes:
        problem: why it ended early; the next round makes up for that.
    """

    last: SweepStep | None = None
    event_count: int = 0
    notes: list[str] = field(default_factory=list)
    problem: str | None = None


def watch(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(help="Hubs, folders, s3://... as for crawl.", metavar="HUB...")
    ],
    every: Annotated[
        int,
        typer.Option(
            help="Minutes between rounds; hubs cache for five.",
            min=SHORTEST_EVERY_MINUTES,
            max=100_000,
        ),
    ] = 60,
    full_every: Annotated[
        int, typer.Option(help="Days after which everything is read again.", min=1, max=36_500)
    ] = 7,
    webhook: Annotated[
        str | None, typer.Option(help="An address of yours that events are posted to.")
    ] = None,
    triage: Annotated[
        int, typer.Option(help="Headers to read after each round.", min=0, max=10**9)
    ] = 0,
    once: Annotated[
        bool, typer.Option("--once", help="One round, for cron and systemd timers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Sweep hubs again and again, with one line for each event.

    The first round of a hub reports a number only.
    """
    from crawlers.sweeps.webhooks import Webhook

    with crawl_session_of(settings_of(context), [*targets, webhook or ""]) as session:
        secret = session.settings.webhook_secret
        value = secret.get_secret_value() if secret else None
        hook = Webhook(session.store, session.transport, webhook, value) if webhook else None
        options = WatchOptions(timedelta(days=full_every), hook, triage, as_json)
        opened = {target: session.hubs.open(target) for target in targets}
        while True:
            started = time.monotonic()
            finished = [
                _watch_once(session, hub, target, options) for target, hub in opened.items()
            ]
            if once:
                raise typer.Exit(0 if all(finished) else 3)
            time.sleep(max(0.0, every * 60 - (time.monotonic() - started)))


def _watch_once(session: CrawlSession, hub: Hub, target: str, options: WatchOptions) -> bool:
    """Run one round of one hub, and return whether it came to its end."""
    from crawlers.sweeps.rounds import since_when
    from scanner.clock import utc_now
    from scanner.errors import is_expected, sentence_of

    since = since_when(session.store, target, utc_now(), options.full_every)
    result = Round()
    try:
        _sweep(session, hub, target, since, options, result)
        if options.headers:
            read_and_count(session, target, options.headers, result.notes)
        if options.hook is not None:
            options.hook.deliver()
    except Exception as error:  # a watch of months outlives whatever one round of one hub meets
        result.problem = sentence_of(error)
        if not is_expected(error):
            log.exception("%s", target)
    _print_round(target, since, result, as_json=options.as_json)
    return result.problem is None


def _sweep(
    session: CrawlSession,
    hub: Hub,
    target: str,
    since: datetime | None,
    options: WatchOptions,
    result: Round,
) -> None:
    from crawlers.sweeps.rounds import go_round
    from scanner.clock import utc_now

    workers = session.settings.workers
    with progress_bar(target) as observer:
        for step in go_round(hub, target, session.store, utc_now, since, workers):
            result.last = step
            result.event_count += _print_events(step, session.store, as_json=options.as_json)
            result.notes += step.notes
            budget = budget_left(session, target)
            observer.step(step.listings, None, f"{target[:30]} page {step.pages}{budget}")
    if result.last is not None and result.last.gaps:
        gaps = "; ".join(result.last.gaps)
        result.problem = f"not finished, listings may be missing: {gaps}"


def _print_round(target: str, since: datetime | None, result: Round, *, as_json: bool) -> None:
    from scanner.clock import utc_now

    listings = result.last.listings if result.last else 0
    if as_json:
        document = {
            "at": utc_now().isoformat(),
            "round_of": target,
            "everything": since is None,
            "listings": listings,
            "finished": result.problem is None,
            "told": result.event_count,
            "notes": list(dict.fromkeys(result.notes)),
            "problem": result.problem,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    summary = f"{target}: {listings} listings, {result.event_count} new events"
    if result.problem is None:
        print_line(summary, color="green", error=True)
    else:
        print_error(summary)
    print_notes([*result.notes, *([result.problem] if result.problem else [])])


def _print_events(step: SweepStep, store: CrawlStore, *, as_json: bool) -> int:
    """Print a step's events, one a line, without the new listings of a first round."""
    events = [event for event in step.events if not event.quiet]
    for event in events:
        title, url = store.db.execute(
            "select title, url from listings where hub = ? and listing_id = ? "
            "order by rowid desc limit 1",
            [event.hub, event.listing_id],
        ).fetchone() or ("", "")
        if as_json:
            document = {**dataclasses.asdict(event), "title": title, "url": url}
            typer.echo(json.dumps(document, ensure_ascii=False))
        else:
            listing = f"{event.hub}:{event.listing_id}"
            print_line(f"{event.at[:19]}Z  {event.kind}  {listing}  {title}  {url}")
    return len(events)
