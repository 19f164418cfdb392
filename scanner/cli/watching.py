"""`watch`: hubs looked at again and again, one line for each event."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import progress_bar, visible
from scanner.cli.crawling import (
    CrawlSession,
    budget_left,
    crawl_session,
    print_notes,
    read_and_count,
)

if TYPE_CHECKING:
    from crawlers.listing import Hub
    from crawlers.sweeps.crawl_store import CrawlStore
    from crawlers.sweeps.sweep import SweepStep
    from crawlers.sweeps.webhooks import Webhook
    from scanner.cli.context import ProgressObserver

log = logging.getLogger(__name__)

SHORTEST_EVERY_MINUTES = 5  # hubs let their answers be cached that long


def add_to(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command("watch")(watch)


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
    """Watch hubs: one line for each event, again and again. The first round of a hub is told only as a number."""
    from crawlers.sweeps.webhooks import Webhook

    with crawl_session(context, [*targets, webhook or ""]) as service:
        secret = (
            service.settings.webhook_secret.get_secret_value()
            if service.settings.webhook_secret
            else None
        )
        hook = Webhook(service.store, service.transport, webhook, secret) if webhook else None
        opened = {target: service.door.open(target) for target in targets}
        while True:
            failed = False
            started = time.monotonic()
            for target, hub in opened.items():
                failed |= not _watch_once(
                    service, hub, target, timedelta(days=full_every), hook, triage, as_json
                )
            if once:
                raise typer.Exit(3 if failed else 0)
            time.sleep(max(0.0, every * 60 - (time.monotonic() - started)))


def _watch_once(
    service: CrawlSession,
    hub: Hub,
    target: str,
    full_every: timedelta,
    hook: Webhook | None,
    triage: int,
    as_json: bool,
) -> bool:
    """One round of one hub; False if it broke off, which the next round makes good."""
    from crawlers.sweeps.rounds import go_round, since_when
    from scanner.errors import is_expected, sentence_of
    from scanner.factories import utc_now

    since = since_when(service.store, target, utc_now(), full_every)
    notes: list[str] = []
    problem: str | None = None
    step: SweepStep | None = None
    told = 0
    try:
        with progress_bar(target) as observer:
            for step in go_round(
                hub, target, service.store, utc_now, since, service.settings.workers
            ):
                told += _tell(step, service.store, as_json)
                notes += step.notes
                _show_progress(observer, step, service, target)
        if step is not None and step.gaps:
            problem = f"not finished, listings may be missing: {'; '.join(step.gaps)}"
        if triage:
            read_and_count(service, target, triage, notes)
        if hook is not None:
            hook.deliver()
    except Exception as error:  # a watch of months outlives whatever one round of one hub meets
        problem = sentence_of(error)
        if not is_expected(error):
            log.exception("%s", target)
    summary = {"at": utc_now().isoformat(), "round_of": target, "everything": since is None, "listings": step.listings if step else 0,
               "finished": problem is None, "told": told, "notes": list(dict.fromkeys(notes)), "problem": problem}  # fmt: skip
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        typer.secho(
            f"{target}: {summary['listings']} listings, {told} events told",
            err=True,
            fg="green" if problem is None else "red",
        )
        print_notes([*notes, *([problem] if problem else [])])
    return problem is None


def _tell(step: SweepStep, store: CrawlStore, as_json: bool) -> int:
    """Print a step's events, one a line; of a first round those of new listings are no news."""
    events = [event for event in step.events if not event.quiet]
    for event in events:
        found = store.db.execute(
            "select title, url from listings where hub = ? and listing_id = ? order by rowid desc limit 1",
            [event.hub, event.listing_id],
        ).fetchone() or ("", "")
        if as_json:
            typer.echo(
                json.dumps(
                    {**dataclasses.asdict(event), "title": found[0], "url": found[1]},
                    ensure_ascii=False,
                )
            )
        else:
            line = f"{event.at[:19]}Z  {event.kind}  {event.hub}:{event.listing_id}  {found[0]}  {found[1]}"
            typer.echo(visible(line))
    return len(events)


def _show_progress(
    observer: ProgressObserver, step: SweepStep, service: CrawlSession, target: str
) -> None:
    observer.step(
        step.listings, None, f"{target[:30]} page {step.pages}{budget_left(service, target)}"
    )
