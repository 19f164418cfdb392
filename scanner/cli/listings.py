"""`listings`, `lookup`: what was crawled, and which hubs hold a file by its hash."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import CrawlSession, crawl_session_of, settings_of
from scanner.cli.options import JsonFlag
from scanner.cli.output import print_json, print_line, print_table
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlers.listing import Listing
    from crawlers.sweeps.query import FoundListing
    from scanner.settings import Settings

SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MOST_LOOKED_UP_SHOWN = 200


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("listings", rich_help_panel=panel)(listings)
    app.command("lookup", rich_help_panel=panel)(lookup)


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
    """Search what was crawled, or show one listing with its history.

    With --events, what happened to listings is shown in their place.
    """
    from crawlers.sweeps.query import ORDERS, STATES
    from crawlers.sweeps.query import search as search_listings

    if sort not in ORDERS:
        raise typer.BadParameter(f"{sort!r} is none of {', '.join(ORDERS)}", param_hint="--sort")
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(STATES)}", param_hint="--state")
    with crawl_session_of(settings_of(context), ()) as session:
        if what is not None:
            _print_history(session, what, as_json=as_json)
        elif events:
            _print_events(session, hub, last, as_json=as_json)
        else:
            found = search_listings(session.store, hub, search, state, sort, last)
            _print_found(found, as_json=as_json)


def _print_found(found: list[FoundListing], *, as_json: bool) -> None:
    if as_json:
        facts = ("state", "likeness", "first_seen", "last_seen")
        print_json(
            {
                "listings": [
                    _listing_document(row.listing, {name: getattr(row, name) for name in facts})
                    for row in found
                ]
            }
        )
        return
    rows = [
        [
            row.listing.hub,
            row.listing.listing_id,
            row.listing.title,
            row.listing.creator or "",
            "" if row.listing.downloads is None else str(row.listing.downloads),
            "" if row.likeness is None else f"{row.likeness:.2f}",
            row.state,
        ]
        for row in found
    ]
    titles = ["hub", "listing", "title", "creator", "downloads", "likeness", "state"]
    print_table(titles, rows)


def _listing_document(listing: Listing, more: Mapping[str, Any]) -> dict[str, Any]:
    """A listing in the JSON contract of `listings` and `lookup`."""
    from crawlers.listing import listing_to_dict

    return {**listing_to_dict(listing), **more}


def _print_events(session: CrawlSession, hub: str | None, last: int, *, as_json: bool) -> None:
    events = session.store.events(hub, last)
    if as_json:
        print_json({"events": [dataclasses.asdict(event) for event in events]})
        return
    rows = [
        [event.at[:19], event.hub, event.listing_id, str(event.kind), json.dumps(event.details)]
        for event in events
    ]
    print_table(["at (UTC)", "hub", "listing", "what", "details"], rows)


def _print_history(session: CrawlSession, what: str, *, as_json: bool) -> None:
    """Print each version of a listing, its events and headers, and other listings of its files."""
    from crawlers.sweeps.history import history_of

    hub, _, listing_id = what.partition(":")
    history = history_of(session.store, hub, listing_id)
    if history is None:
        raise typer.BadParameter(
            f"no listing {what!r} was crawled here; `portrait-scanner crawl HUB` lists a hub; "
            "ids are written as hub:ID",
            param_hint="LISTING",
        )
    if as_json:
        print_json(history)
        return
    listing = history["listing"]
    print_line(f"{listing['title']}  {listing['url']}", bold=True)
    facts = [*_listing_facts(history), *_history_facts(history)]
    print_table(["", ""], [[name, str(value)] for name, value in facts])


def _listing_facts(history: dict[str, Any]) -> list[tuple[str, str]]:
    listing, likeness = history["listing"], history["likeness"]
    return [
        ("state", history["state"]),
        ("creator", listing["creator"] or "unknown"),
        ("base model", listing["base_model"] or ""),
        ("triggers", ", ".join(listing["triggers"])),
        ("tags", ", ".join(listing["tags"])),
        ("likeness", f"{likeness['score']:.2f}"),
        *(("", f"{name}: {words}") for name, words in likeness["signals"]),
        *(
            ("file", f"{file['name']}  {file['sha256'] or 'no hash given'}")
            for file in listing["files"]
        ),
    ]


def _history_facts(history: dict[str, Any]) -> list[tuple[str, str]]:
    headers = [("header", _header_text(triage)) for triage in history["triages"]]
    copies = [
        ("also at", f"{other['hub']}:{other['listing_id']}  {other['title']}")
        for other in history["also_at"]
    ]
    versions = [
        ("version", f"{version['first_seen'][:19]} to {version['last_seen'][:19]}")
        for version in history["versions"]
    ]
    events = [
        ("event", f"{event['at'][:19]}  {event['kind']}  {json.dumps(event['details'])}")
        for event in history["events"]
    ]
    return [*headers, *copies, *versions, *events]


def _header_text(triage: dict[str, Any]) -> str:
    sentences = "; ".join([*triage["signals"], *triage["problems"]])
    return f"{triage['name']}: {triage['kind']}, {triage['family']}; {sentences}"


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
    """Ask hubs which listings hold a file, by its hash.

    Nothing is uploaded, and an answer is kept for a week or a month before it is asked for again.
    """
    from crawlers.sweeps.inquiries import Inquiries
    from crawlers.sweeps.lookup import look_up
    from scanner.clock import utc_now

    hubs = at or ["civitai", "civarchive"]
    with crawl_session_of(settings_of(context), hubs) as session:
        inquiries = Inquiries(session.store)
        hashes = [_hash_of(text) for text in what or ()] or inquiries.hashes(vanished=vanished)
        sources = [_source(session, hub) for hub in hubs]
        asked = found = 0
        with progress_bar("asking") as observer:
            for step in look_up(session.store, sources, hashes, utc_now):
                asked += 1
                found += step.listing is not None
                observer.step(step.done, step.total, f"{step.source} {step.sha256[:12]}")
        shown = [
            _listing_document(listing, {"sha256": sha256})
            for sha256 in (hashes if what else hashes[:_MOST_LOOKED_UP_SHOWN])
            for listing in inquiries.holders(sha256)
        ]
    relations = _relations_of(settings_of(context), hashes) if what else []
    counts = {"asked": asked, "found": found, "hashes": len(hashes)}
    if as_json:
        print_json({**counts, "listings": shown, "relations": relations})
        return
    if what:
        _print_holders(shown, relations)
    typer.echo(f"{len(hashes)} hashes, {asked} asked for now, {found} known there.")


def _print_holders(shown: list[dict[str, Any]], relations: list[dict[str, Any]]) -> None:
    """Print the listings of files, and the files that are related to them."""
    facts = ("hub", "listing_id", "title", "url")
    rows = [[row["sha256"][:12], *(row[name] for name in facts)] for row in shown]
    print_table(["sha256", "hub", "listing", "title", "where"], rows)
    if relations:
        print_table(
            ["sha256", "relation", "file", "its sha256", "case"],
            [
                [
                    row["of"][:12],
                    row["relation"],
                    row["file"],
                    row["sha256"][:12],
                    row["case_id"] or "",
                ]
                for row in relations
            ],
        )


def _relations_of(settings: Settings, hashes: list[str]) -> list[dict[str, Any]]:
    """The files whose weights are related to those of the asked ones, as far as these are known."""
    if not settings.fingerprints_path.exists():
        return []
    from scanner.factories.fingerprints import open_related_files

    with open_related_files(settings) as related:
        return [
            {"of": known.sha256, **one.as_document()}
            for known in related.store.of(hashes)
            for one in related.of(known.sha256, known.weights_hash, known)
            if one.sha256 != known.sha256
        ]


def _hash_of(text: str) -> str:
    from crawlers.hashes import sha256_of

    if SHA256.fullmatch(text):
        return text.lower()
    if Path(text).is_file():
        return sha256_of(Path(text))
    raise typer.BadParameter(
        f"{text!r} is neither 64 hex digits nor a file", param_hint="SHA256|FILE"
    )


def _source(session: CrawlSession, target: str) -> Any:
    from crawlers.hubs.civarchive import CivArchive
    from crawlers.hubs.civitai import CivitaiHub
    from crawlers.hubs.registry import REMOTE_HUBS
    from crawlers.sweeps.lookup import AtCivArchive, AtCivitai

    name = target.partition("=")[0]
    if name not in ("civitai", "civarchive") or name not in REMOTE_HUBS:
        raise typer.BadParameter(
            f"{target!r} cannot be asked by hash; civitai and civarchive can", param_hint="--at"
        )
    address = session.hubs.address_of(target)
    if name == "civitai":
        return AtCivitai(CivitaiHub(session.transport, address))
    return AtCivArchive(CivArchive(session.transport, address))
