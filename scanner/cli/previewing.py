"""`previews`: the pictures that crawled listings show, before any file of theirs is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.capturing import judge_all, judged_document, print_judged, say
from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    UseOption,
    print_json,
    progress_bar,
    visible,
)

if TYPE_CHECKING:
    from crawlers.listing import Listing
    from scanner.captures.previews import PreviewsTaken
    from scanner.cli.crawling import CrawlSession


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("previews")(previews)


def previews(
    context: typer.Context,
    hubs: Annotated[
        list[str],
        typer.Argument(help="Hubs that were crawled, as `crawl` names them.", metavar="HUB..."),
    ],
    limit: Annotated[
        int | None, typer.Option(help="At most so many listings; run again to go on.", min=1)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also listings whose previews were taken in before.")
    ] = False,
    search: Annotated[
        bool, typer.Option("--search/--no-search", help="Search the faces in them afterwards.")
    ] = True,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in what crawled listings show: fetched politely, sealed like any capture, and searched before any GPU work."""
    from crawlers.sweeps.partitions import unfinished_places
    from scanner.captures.intake import Intake
    from scanner.captures.previews import take_previews
    from scanner.cli.crawling import crawl_session

    flags: Flags = context.obj
    done: list[PreviewsTaken] = []
    with crawl_session(context, hubs) as crawl:
        unfinished = [place for hub in hubs for place in unfinished_places(crawl.store, hub)]
        taking = Intake(crawl.settings)
        try:
            with progress_bar("fetching previews") as observer:
                work = take_previews(taking, crawl.transport, _listings(crawl, hubs), again=again)
                for one in islice(work, limit):
                    done.append(one)
                    observer.step(len(done), None, one.listing.title)
        finally:
            taking.close()
    judged = judge_all(flags, face_pack, use) if search else []
    refused = [one for one in done if one.problem]
    for place in unfinished:
        typer.secho(
            visible(f"{place} was not crawled to its end: listings may be missing here; `crawl` goes on there"),
            err=True, fg="yellow",
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "listings": [
                    {
                        "hub": one.listing.hub, "listing_id": one.listing.listing_id, "title": one.listing.title, "missing": one.missing,
                        "problem": one.problem, "capture_id": one.taken.capture.capture_id if one.taken else None,
                    }
                    for one in done
                ],
                "judged": [judged_document(one) for one, _ in judged],
                "unfinished": unfinished,
            }
        )  # fmt: skip
    else:
        say(f"{len(done) - len(refused)} listings' previews taken in and sealed; {sum(one.missing for one in done)} pictures were not to be had.")  # fmt: skip
        for one in refused:
            say(f"not taken in: {one.listing.title}: {one.problem}", fg="yellow")
        print_judged(judged)
    raise typer.Exit(3 if refused and len(refused) == len(done) else 0)


def _listings(crawl: CrawlSession, hubs: list[str]) -> Iterator[Listing]:
    for hub in hubs:
        yield from list(crawl.store.latest(crawl.door.open(hub).name))
