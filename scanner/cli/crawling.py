"""`hubs`, `crawl`, `listings`: what the hubs list, swept without loss and kept with all that happens to it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import Flags, JsonFlag, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from crawlers.sweep import SweepStep


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("hubs")(hubs)
    app.command("crawl")(crawl)
    app.command("listings")(listings)


def hubs(context: typer.Context, as_json: JsonFlag = False) -> None:
    """The hubs that can be crawled, and how far their sweeps have come."""
    from crawlers.catalog import REMOTE_HUBS
    from crawlers.store import CrawlStore

    flags: Flags = context.obj
    store = CrawlStore(flags.settings().crawl_path)
    sweeps = list(store.db.table("sweeps").rows_where(order_by="sweep_id desc"))
    store.close()
    known = [{"hub": name, "address": address} for name, (_, address) in REMOTE_HUBS.items()]
    if as_json:
        print_json({"hubs": known, "sweeps": sweeps})
        return
    print_table(["hub", "address"], [[one["hub"], one["address"]] for one in known])
    typer.echo("Also a folder's path, and any hub of these kinds at another address: civitai=https://host")
    if sweeps:
        rows = [
            [one["place"], one["started_at"][:19], (one["finished_at"] or "goes on")[:19], str(one["pages"]), str(one["listings"])]
            for one in sweeps[:20]
        ]  # fmt: skip
        print_table(["sweep of", "started (UTC)", "finished", "pages", "listings"], rows)


def crawl(
    context: typer.Context,
    hub: Annotated[str, typer.Argument(help="A hub, hub=https://host, or a folder.", metavar="HUB")],
    limit: Annotated[int | None, typer.Option(help="Stop after so many listings; run again to go on.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sweep a hub: every listing and every version of it, and what was changed, flagged, taken down or came back."""
    from crawlers.catalog import hub_for
    from crawlers.store import CrawlStore
    from crawlers.sweep import sweep
    from scanner.network import allow_typed, open_transport
    from scanner.reception import utc_now

    flags: Flags = context.obj
    settings = flags.settings()
    transport, store = open_transport(settings), CrawlStore(settings.crawl_path)
    allow_typed(transport, [hub])
    counts: Counter[str] = Counter()
    notes: list[str] = []
    step: SweepStep | None = None
    try:
        with progress_bar("crawling") as observer:
            for step in sweep(hub_for(hub, transport), hub, store, utc_now):
                counts.update(str(event.kind) for event in step.events)
                notes += step.notes
                observer.step(step.listings, None, f"page {step.pages}")
                if limit is not None and step.listings >= limit:
                    break
    finally:
        transport.close()
        store.close()
    if step is None:
        return
    if as_json:
        print_json(
            {"hub": hub, "finished": step.finished, "pages": step.pages, "listings": step.listings,
             "events": counts, "notes": notes}
        )  # fmt: skip
        return
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing new"
    typer.echo(f"{step.listings} listings on {step.pages} pages{'' if step.finished else ' so far'}: {told}.")
    for note, count in Counter(notes).items():
        typer.secho(f"{note} ({count} times)" if count > 1 else note, err=True, fg="yellow")


def listings(
    context: typer.Context,
    hub: Annotated[str | None, typer.Option(help="Only of this hub.")] = None,
    search: Annotated[str | None, typer.Option(help="Words in title, creator, tags or triggers.")] = None,
    events: Annotated[
        bool, typer.Option("--events", help="What happened, newest first, in place of listings.")
    ] = False,
    last: Annotated[int, typer.Option(help="How many.", min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Look into what was crawled: listings as they are now, or what happened to them."""
    import dataclasses

    from crawlers.store import CrawlStore

    flags: Flags = context.obj
    store = CrawlStore(flags.settings().crawl_path)
    if events:
        happened = store.events(hub, last)
        store.close()
        if as_json:
            print_json({"events": [dataclasses.asdict(event) for event in happened]})
            return
        rows = [[one.at[:19], one.hub, one.listing_id, str(one.kind), json.dumps(one.details)] for one in happened]
        print_table(["at (UTC)", "hub", "listing", "what", "details"], rows)
        return
    found = store.search(hub, search, last)
    store.close()
    if as_json:
        print_json({"listings": [{**dataclasses.asdict(listing), "state": state} for listing, state in found]})
        return
    rows = [
        [listing.hub, listing.listing_id, listing.title, listing.creator or "", str(listing.downloads or ""), state]
        for listing, state in found
    ]
    print_table(["hub", "listing", "title", "creator", "downloads", "state"], rows)
