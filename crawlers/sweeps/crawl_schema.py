"""The tables of crawl.db, step by step (migrations of sqlite-utils)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlite_utils import Database, Migrations

from crawlers.hashes import is_of_nothing
from crawlers.sweeps.listing_words import create_listing_words

migrations = Migrations("crawl")

# Exactly as in queries, so that they use the index.
ITEM_OF_PAGE = "coalesce(edited, facts) ->> '$.item_id'"


@migrations()
def listings_and_their_versions(db: Database) -> None:
    db.table("listings").create(
        {
            "hub": str, "listing_id": str, "content_sha256": str, "title": str, "url": str,
            "creator": str, "downloads": int, "first_seen": str, "last_seen": str, "record": str,
        },
        pk=("hub", "listing_id", "content_sha256"),
    )  # fmt: skip


@migrations()
def sweeps_presence_files_events(db: Database) -> None:
    db.table("sweeps").create(
        {
            "sweep_id": int, "place": str, "hub": str, "started_at": str, "finished_at": str,
            "cursor": str, "pages": int, "listings": int,
        },
        pk="sweep_id",
    )  # fmt: skip
    db.table("presence").create(
        {
            "hub": str, "listing_id": str, "place": str, "content_sha256": str, "state": str,
            "sweep_id": int, "missing_since": str,
        },
        pk=("hub", "listing_id"),
    )  # fmt: skip
    db.table("files").create(
        {"sha256": str, "hub": str, "listing_id": str, "name": str, "first_seen": str},
        pk=("sha256", "hub", "listing_id"),
    )
    db.table("events").create(
        {"event_id": int, "at": str, "hub": str, "listing_id": str, "kind": str, "details": str},
        pk="event_id",
    )
    db.table("events").create_index(["hub", "listing_id"])
    db.table("listings").create_index(["hub", "listing_id"])
    # Listings from before these tables are known, not new.
    db.execute(
        "insert into presence select hub, listing_id, '', content_sha256, 'listed', 0, null "
        "from listings where rowid in (select max(rowid) from listings group by hub, listing_id)"
    )


@migrations()
def strands_likeness_triage_lookups(db: Database) -> None:
    db.table("listings").add_column("raw", str)
    db.table("sweeps").add_column("since", str)
    for column, kind in (("revision", str), ("likeness", float), ("downloads", int)):
        db.table("presence").add_column(column, kind)
    db.table("presence").create_index(["likeness"])
    db.table("files").add_column("weights_hash", str)
    db.table("files").create_index(["weights_hash"])
    db.table("files").create_index(["hub", "listing_id"])
    # The places that list a listing, each with its last sweep that found it. The table presence
    # holds for all places together.
    db.table("sightings").create(
        {"place": str, "hub": str, "listing_id": str, "sweep_id": int},
        pk=("place", "hub", "listing_id"),
    )
    db.table("sightings").create_index(["hub", "listing_id"])
    db.execute("insert into sightings select place, hub, listing_id, sweep_id from presence")
    for column in ("place", "sweep_id"):
        db.execute(f"alter table presence drop column {column}")
    db.table("strands").create(
        {
            "sweep_id": int, "number": int, "name": str, "last": int, "cursor": str,
            "pages": int, "done": int,
        },
        pk=("sweep_id", "number"),
    )  # fmt: skip
    db.table("triages").create(
        {
            "hub": str, "listing_id": str, "name": str, "revision": str, "sha256": str,
            "session_id": str, "weights_hash": str, "likeness": float, "bytes_read": int,
            "at": str, "record": str,
        },
        pk=("hub", "listing_id", "name"),
    )  # fmt: skip
    db.table("triages").create_index(["sha256"])
    db.table("triages").create_index(["session_id"])
    db.table("lookups").create(
        {"source": str, "sha256": str, "found": int, "looked_at": str, "expires_at": str},
        pk=("source", "sha256"),
    )
    # Events of a place's first sweep are quiet: everything is new then, and nothing is news.
    db.table("events").add_column("quiet", int, not_null_default=0)
    db.table("webhooks").create({"url": str, "delivered": int}, pk="url")


@migrations()
def captures_pages_images(db: Database) -> None:
    db.table("captures").create(
        {
            "capture_id": str, "name": str, "format": str, "size_bytes": int, "taken_in_at": str,
            "taken_in_by": str, "tool": str, "made_with": str, "checks": str, "notes": str,
            "problem": str, "pages": int,
        },
        pk="capture_id",
    )  # fmt: skip
    db.table("capture_pages").create(
        {
            "page_id": str, "capture_id": str, "number": int, "url": str, "saved_at": str,
            "platform": str, "account": str, "kind": str, "facts": str, "edited": str,
            "edited_by": str, "edited_at": str, "notes": str,
        },
        pk="page_id",
    )  # fmt: skip
    db.table("capture_pages").create_index(["capture_id"])
    db.table("capture_pages").create_index(["platform", "account"])
    db.table("capture_images").create(
        {
            "page_id": str, "place": int, "sha256": str, "url": str, "alt": str, "belongs": int,
            "picture": str, "provenance": str,
        },
        pk=("page_id", "place"),
    )  # fmt: skip
    db.table("capture_images").create_index(["sha256"])


@migrations()
def captures_that_leave(db: Database) -> None:
    # What a removal must still delete on disk: the capture and the images of no other capture.
    # If a removal is interrupted, the next one finishes it.
    db.table("captures_leaving").create({"capture_id": str, "images": str}, pk="capture_id")


@migrations()
def gaps_of_strands(db: Database) -> None:
    # Why listings may be missing at the first implausible page, and the cursor of that page.
    db.table("strands").add_column("gap", str)
    db.table("strands").add_column("gap_cursor", str)


@migrations()
def other_hashes_of_files(db: Database) -> None:
    # The hashes that generators and hubs use beside SHA-256. For listings from before this table
    # they are read once from the hub's stored answer.
    db.table("file_hashes").create(
        {"hash": str, "hub": str, "listing_id": str, "name": str, "sha256": str},
        pk=("hash", "hub", "listing_id", "name"),
    )
    for listing_id, raw in db.execute(
        "select listing_id, raw from listings where hub = 'civitai' and raw is not null"
    ):
        rows = [(digest, listing_id, name, sha256) for digest, name, sha256 in _hashes_in(raw)]
        db.conn.executemany(
            "insert or ignore into file_hashes values (?, 'civitai', ?, ?, ?)", rows
        )


@migrations()
def orders_and_words_of_listings(db: Database) -> None:
    # A listing from before likenesses were computed has none; it comes last.
    db.execute("update presence set likeness = 0 where likeness is null")
    db.execute("drop index if exists idx_presence_likeness")
    for name, columns in {
        "presence_by_likeness": "likeness desc",
        "presence_by_downloads": "downloads desc",
        "presence_by_hub_and_likeness": "hub, likeness desc",
        "presence_by_hub_and_downloads": "hub, downloads desc",
        "presence_by_state": "state",
    }.items():
        db.execute(f"create index {name} on presence ({columns})")
    db.table("listings").create_index(["first_seen"])
    db.table("listings").create_index(["hub", "first_seen"])
    create_listing_words(db)


@migrations()
def orders_of_captures(db: Database) -> None:
    db.execute("create index captures_by_time on captures (taken_in_at desc, capture_id)")
    db.execute(f"create index pages_by_item on capture_pages (platform, {ITEM_OF_PAGE})")


def _hashes_in(raw: str) -> Iterator[tuple[str, str, str]]:
    try:
        files = json.loads(raw)["version"]["files"]
        for file in files:
            hashes = {
                str(kind).lower(): str(digits).lower() for kind, digits in file["hashes"].items()
            }
            for kind, length in (("blake3", 64), ("autov1", 8), ("crc32", 8)):
                digits = hashes.get(kind, "")
                if (
                    len(digits) == length
                    and not set(digits) - set("0123456789abcdef")
                    and not is_of_nothing(digits)
                ):
                    yield f"{kind}:{digits}", str(file["name"]), hashes.get("sha256", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # an answer of another shape; its other hashes are known
