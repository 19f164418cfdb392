"""`listings`, `lookup`, `fetch`: what was crawled, who else has it, and the files themselves."""

from __future__ import annotations

import dataclasses
import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    JsonFlag,
    print_json,
    print_table,
    progress_bar,
    transfer_bar,
    visible,
)
from scanner.cli.crawling import CrawlSession, as_found, crawl_session, print_notes

if TYPE_CHECKING:
    from scanner.scanning.fetching import Brought

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("listings")(listings)
    app.command("lookup")(lookup)
    app.command("fetch")(fetch)


def listings(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            help="One listing, as hub:ID, with its history; none for many.", metavar="[LISTING]"
        ),
    ] = None,
    hub: Annotated[str | None, typer.Option(help="Only of this hub.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Words in title, creator, tags, triggers or file names.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="listed, missing, gone, archived, 'taken down' or 'flagged as a real person'."
        ),
    ] = None,
    sort: Annotated[str, typer.Option(help="newest, likeness or downloads.")] = "newest",
    events: Annotated[
        bool, typer.Option("--events", help="What happened, newest first, in place of listings.")
    ] = False,
    last: Annotated[int, typer.Option(help="How many.", min=1, max=10**9)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Look into what was crawled: listings as they are now, one with its history, or what happened to them."""
    from crawlers.sweeps.query import ORDERS, STATES
    from crawlers.sweeps.query import search as found_by

    if sort not in ORDERS:
        raise typer.BadParameter(f"{sort!r} is none of {', '.join(ORDERS)}", param_hint="--sort")
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(STATES)}", param_hint="--state")
    with crawl_session(context, ()) as crawl:
        if what is not None:
            return _one(crawl, what, as_json)
        if events:
            return _events(crawl, hub, last, as_json)
        found = found_by(crawl.store, hub, search, state, sort, last)
    if as_json:
        facts = ("state", "likeness", "first_seen", "last_seen")
        return print_json(
            {
                "listings": [
                    as_found(one.listing, **{name: getattr(one, name) for name in facts})
                    for one in found
                ]
            }
        )
    rows = [
        [
            one.listing.hub, one.listing.listing_id, one.listing.title, one.listing.creator or "",
            "" if one.listing.downloads is None else str(one.listing.downloads),
            "" if one.likeness is None else f"{one.likeness:.2f}", one.state,
        ]
        for one in found
    ]  # fmt: skip
    return print_table(
        ["hub", "listing", "title", "creator", "downloads", "likeness", "state"], rows
    )


def _events(crawl: CrawlSession, hub: str | None, last: int, as_json: bool) -> None:
    happened = crawl.store.events(hub, last)
    if as_json:
        return print_json({"events": [dataclasses.asdict(event) for event in happened]})
    rows = [
        [one.at[:19], one.hub, one.listing_id, str(one.kind), json.dumps(one.details)]
        for one in happened
    ]
    return print_table(["at (UTC)", "hub", "listing", "what", "details"], rows)


def _one(crawl: CrawlSession, what: str, as_json: bool) -> None:
    """Everything about one listing: each version, what happened, its files' headers, and who else has them."""
    from crawlers.sweeps.history import history_of

    hub, _, listing_id = what.partition(":")
    history = history_of(crawl.store, hub, listing_id)
    if history is None:
        raise typer.BadParameter(
            f"no listing {what!r} was crawled here; `portrait-scanner crawl HUB` lists a hub; ids are written as hub:ID",
            param_hint="LISTING",
        )
    if as_json:
        return print_json(history)
    listing = history["listing"]
    typer.secho(visible(f"{listing['title']}  {listing['url']}"), bold=True)
    facts = [["state", history["state"]], ["creator", listing["creator"] or "unknown"], ["base model", listing["base_model"] or ""],
             ["triggers", ", ".join(listing["triggers"])], ["tags", ", ".join(listing["tags"])],
             ["likeness", f"{history['likeness']['score']:.2f}"]]  # fmt: skip
    facts += [["", f"{name}: {told}"] for name, told in history["likeness"]["signals"]]
    facts += [
        ["file", f"{one['name']}  {one['sha256'] or 'no hash told'}"] for one in listing["files"]
    ]
    facts += [
        [
            "header",
            f"{one['name']}: {one['kind']}, {one['family']}; {'; '.join([*one['signals'], *one['problems']])}",
        ]
        for one in history["triages"]
    ]
    facts += [
        ["also at", f"{one['hub']}:{one['listing_id']}  {one['title']}"]
        for one in history["also_at"]
    ]
    facts += [
        ["version", f"{one['first_seen'][:19]} to {one['last_seen'][:19]}"]
        for one in history["versions"]
    ]
    facts += [
        ["event", f"{one['at'][:19]}  {one['kind']}  {json.dumps(one['details'])}"]
        for one in history["events"]
    ]
    return print_table(["", ""], [[name, str(value)] for name, value in facts])


def lookup(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="SHA-256, or files; none for every hash that was crawled.",
            metavar="SHA256|FILE...",
        ),
    ] = None,
    vanished: Annotated[
        bool,
        typer.Option(
            "--vanished",
            help="Only files of listings that are gone, flagged, archived or taken down.",
        ),
    ] = False,
    at: Annotated[
        list[str] | None,
        typer.Option(help="civitai or civarchive, or with another address: civitai=https://host."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask who else has a file, by its hash: nothing is uploaded, and an answer counts for a week or a month."""
    from crawlers.sweeps.inquiries import Inquiries
    from crawlers.sweeps.lookup import look_up
    from scanner.factories import utc_now

    asked_at = at or ["civitai", "civarchive"]
    with crawl_session(context, asked_at) as crawl:
        inquiries = Inquiries(crawl.store)
        hashes = [_hash_of(one) for one in what or ()] or inquiries.hashes(vanished=vanished)
        sources = [_source(crawl, one) for one in asked_at]
        answers = {"asked": 0, "found": 0}
        try:
            with progress_bar("asking") as observer:
                for step in look_up(crawl.store, sources, hashes, utc_now):
                    answers["asked"] += 1
                    answers["found"] += step.listing is not None
                    observer.step(step.done, step.total, f"{step.source} {step.sha256[:12]}")
        finally:
            shown = [
                as_found(listing, sha256=sha256)
                for sha256 in (hashes if what else hashes[:200])
                for listing in inquiries.holders(sha256)
            ]
    if as_json:
        return print_json({**answers, "hashes": len(hashes), "listings": shown})
    if what:
        rows = [
            [one["sha256"][:12], one["hub"], one["listing_id"], one["title"], one["url"]]
            for one in shown
        ]
        print_table(["sha256", "hub", "listing", "title", "where"], rows)
    typer.echo(
        f"{len(hashes)} hashes, {answers['asked']} asked for now, {answers['found']} known there."
    )
    return None


def _hash_of(what: str) -> str:
    from crawlers.hashes import sha256_of

    if SHA256.fullmatch(what):
        return what.lower()
    if Path(what).is_file():
        return sha256_of(Path(what))
    raise typer.BadParameter(
        f"{what!r} is neither 64 hex digits nor a file", param_hint="SHA256|FILE"
    )


def _source(crawl: CrawlSession, target: str) -> Any:
    from crawlers.hubs.civarchive import CivArchive
    from crawlers.hubs.civitai import CivitaiHub
    from crawlers.hubs.registry import REMOTE_HUBS
    from crawlers.sweeps.lookup import AtCivArchive, AtCivitai

    name = target.partition("=")[0]
    if name not in ("civitai", "civarchive") or name not in REMOTE_HUBS:
        raise typer.BadParameter(
            f"{target!r} cannot be asked by hash; civitai and civarchive can", param_hint="--at"
        )
    address = crawl.door.address_of(target)
    if name == "civitai":
        return AtCivitai(CivitaiHub(crawl.transport, address))
    return AtCivArchive(CivArchive(crawl.transport, address))


def fetch(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Listings as hub:ID, SHA-256, or URLs; none for the likeliest likenesses.",
            metavar="LISTING|SHA256|URL...",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Without names: at most so many files.", min=1, max=10**9)
    ] = 20,
    min_likeness: Annotated[
        float, typer.Option(help="Without names: only at or above this score.", min=0, max=1)
    ] = 0.5,
    again: Annotated[
        bool, typer.Option("--again", help="Ask again for what was refused not long ago.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fetch checkpoints into the store, by hash and verified; stopped anywhere, the same command goes on."""
    from crawlers.errors import CrawlError, NoRoom
    from scanner.factories import utc_now
    from scanner.scanning.fetching import Brought, Objections, acquisition_of, wanted_files

    brought: list[Brought] = []
    with crawl_session(context, what or ()) as crawl:
        acquisition = acquisition_of(crawl.settings, crawl.store, crawl.door, utc_now)
        place = (crawl.store, crawl.door, acquisition.checkpoints)
        wanted = wanted_files(place, what or (), limit, min_likeness, utc_now(), again=again)
        objections = Objections(crawl.settings, utc_now)
        with transfer_bar() as bar, closing(objections):
            for one in wanted:
                if (problem := objections.to(one.listing, one.file)) is not None:
                    brought.append(Brought(one, None, problem))
                    continue
                bar.begin(one.file.name)
                try:
                    stored = acquisition.obtain(one.listing, one.file, bar, ask_again=again)
                except NoRoom as error:
                    # Whatever comes after would meet the same full disk.
                    brought.append(Brought(one, None, str(error)))
                    break
                except CrawlError as error:
                    brought.append(Brought(one, None, str(error)))
                else:
                    brought.append(Brought(one, stored, None))
    failed = [one for one in brought if one.problem is not None]
    if as_json:
        print_json(
            {"files": [one.as_document() for one in brought], "left": len(wanted) - len(brought)}
        )
    elif not brought:
        typer.echo(
            "Nothing to fetch: what is likely enough is here, or was refused lately (--again asks for it all the same)."
        )
    else:
        for result in brought:
            typer.echo(visible(_line(result)))
        print_notes([f"{one.wanted.file.name}: {one.problem}" for one in failed])
    raise typer.Exit(3 if failed else 0)


def _line(one: Brought) -> str:
    """What became of a file, on lines from which a path can be copied."""
    named = f"{one.wanted.listing.hub}:{one.wanted.listing.listing_id}  {one.wanted.file.name}"
    if one.stored is None:
        return f"{named}  not fetched"
    members = [f"; {member.name} in it: {member.path}" for member in one.stored.members]
    return f"{named}  {one.stored.path}{''.join(members)}"
