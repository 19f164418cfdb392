"""crawl.db: every version of every listing with its raw response, and the files it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlite_utils import Database, Migrations

from crawlers.listing import Listing, listing_from_dict

migrations = Migrations("crawl")


class EventKind(StrEnum):
    """What can happen to a listing."""

    FIRST_SEEN = "first seen"
    CHANGED = "changed"
    TAKEN_DOWN = "taken down"
    ARCHIVED = "archived"
    FLAGGED = "flagged as a real person"
    GONE = "gone"
    BACK_AGAIN = "back again"
    RE_UPLOADED = "re-uploaded elsewhere"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a listing; `details` are facts for a program."""

    at: str
    hub: str
    listing_id: str
    kind: EventKind
    details: dict[str, Any]


@migrations()
def listings_and_their_versions(db: Database) -> None:
    db.table("listings").create(
        {
            "hub": str, "listing_id": str, "content_sha256": str, "title": str, "url": str, "creator": str,
            "downloads": int, "first_seen": str, "last_seen": str, "record": str,
        },
        pk=("hub", "listing_id", "content_sha256"),
    )  # fmt: skip


@migrations()
def sweeps_presence_files_events(db: Database) -> None:
    db.table("sweeps").create(
        {
            "sweep_id": int, "place": str, "hub": str, "started_at": str, "finished_at": str, "cursor": str,
            "pages": int, "listings": int,
        },
        pk="sweep_id",
    )  # fmt: skip
    db.table("presence").create(
        {
            "hub": str, "listing_id": str, "place": str, "content_sha256": str, "state": str, "sweep_id": int,
            "missing_since": str,
        },
        pk=("hub", "listing_id"),
    )  # fmt: skip
    db.table("files").create(
        {"sha256": str, "hub": str, "listing_id": str, "name": str, "first_seen": str},
        pk=("sha256", "hub", "listing_id"),
    )
    db.table("events").create(
        {"event_id": int, "at": str, "hub": str, "listing_id": str, "kind": str, "details": str}, pk="event_id"
    )
    db.table("events").create_index(["hub", "listing_id"])
    db.table("listings").create_index(["hub", "listing_id"])
    # What was listed before these tables is known, not new.
    db.execute(
        "insert into presence select hub, listing_id, '', content_sha256, 'listed', 0, null from listings "
        "where rowid in (select max(rowid) from listings group by hub, listing_id)"
    )


class CrawlStore:
    """The only writer of crawl.db."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = Database(path)
        self.db.enable_wal()
        migrations.apply(self.db)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        self.db.conn.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.conn.rollback()
            raise
        self.db.conn.commit()

    def record(self, listing: Listing, now: datetime) -> bool:
        """Remember a listing as it is now; True if it is new or changed. Older versions stay."""
        with self.transaction():
            return bool(self.see(listing, "", 0, now))

    def see(self, listing: Listing, place: str, sweep_id: int, now: datetime) -> list[Event]:
        """Remember a listing as a sweep found it, and what is new about it. Belongs inside a transaction."""
        # A download counter that moves is not a new version of the listing.
        lasting = json.dumps(asdict(replace(listing, downloads=None, raw="")), sort_keys=True)
        key = (listing.hub, listing.listing_id, hashlib.sha256(lasting.encode()).hexdigest())
        self._keep_version(listing, key, now)
        before = next(iter(self.db.table("presence").rows_where("hub = ? and listing_id = ?", key[:2])), None)
        self.db.table("presence").upsert(
            {
                "hub": key[0], "listing_id": key[1], "place": place, "content_sha256": key[2], "state": "listed",
                "sweep_id": sweep_id, "missing_since": None,
            },
            pk=("hub", "listing_id"),
        )  # fmt: skip
        kinds: list[tuple[EventKind, dict[str, Any]]] = []
        if before is None:
            kinds.append((EventKind.FIRST_SEEN, {}))
        elif before["state"] not in ("listed", "missing"):
            kinds.append((EventKind.BACK_AGAIN, {"was": before["state"]}))
        if before is not None and before["content_sha256"] != key[2]:
            kinds.append((EventKind.CHANGED, {"from": before["content_sha256"], "to": key[2]}))
        kinds += self._elsewhere(listing, now)
        return [self.note(kind, key[0], key[1], now, details) for kind, details in kinds]

    def note(self, kind: EventKind, hub: str, listing_id: str, now: datetime, details: dict[str, Any]) -> Event:
        """Write an event. Belongs inside a transaction."""
        text = json.dumps(details, ensure_ascii=False, sort_keys=True)
        self.db.table("events").insert(
            {"at": now.isoformat(), "hub": hub, "listing_id": listing_id, "kind": str(kind), "details": text}
        )
        return Event(now.isoformat(), hub, listing_id, kind, details)

    def _keep_version(self, listing: Listing, key: tuple[str, str, str], now: datetime) -> None:
        table = self.db.table("listings")
        if any(table.rows_where("hub = ? and listing_id = ? and content_sha256 = ?", key, limit=1)):
            table.update(key, {"last_seen": now.isoformat(), "downloads": listing.downloads})
            return
        record = json.dumps(asdict(listing), ensure_ascii=False, sort_keys=True)
        table.insert(
            {
                "hub": key[0], "listing_id": key[1], "content_sha256": key[2], "title": listing.title, "url": listing.url,
                "creator": listing.creator, "downloads": listing.downloads, "first_seen": now.isoformat(),
                "last_seen": now.isoformat(), "record": record,
            }
        )  # fmt: skip

    def _elsewhere(self, listing: Listing, now: datetime) -> Iterator[tuple[EventKind, dict[str, Any]]]:
        """The same bytes under another listing."""
        files = self.db.table("files")
        for file in listing.files:
            if file.sha256 is None:
                continue
            known = list(files.rows_where("sha256 = ?", [file.sha256], order_by="first_seen"))
            if any((row["hub"], row["listing_id"]) == (listing.hub, listing.listing_id) for row in known):
                continue
            files.insert(
                {
                    "sha256": file.sha256, "hub": listing.hub, "listing_id": listing.listing_id, "name": file.name,
                    "first_seen": now.isoformat(),
                }
            )  # fmt: skip
            if known:
                first = {"hub": known[0]["hub"], "listing_id": known[0]["listing_id"]}
                yield EventKind.RE_UPLOADED, {"sha256": file.sha256, "file": file.name, "first": first}

    def events(self, hub: str | None = None, limit: int = 50) -> list[Event]:
        """The newest events, newest first."""
        where, values = ("hub = ?", [hub]) if hub else (None, [])
        rows = self.db.table("events").rows_where(where, values, order_by="event_id desc", limit=limit)
        return [
            Event(row["at"], row["hub"], row["listing_id"], EventKind(row["kind"]), json.loads(row["details"]))
            for row in rows
        ]

    def search(self, hub: str | None, words: str | None, limit: int) -> list[tuple[Listing, str]]:
        """Listings as they were last seen, newest first, with their state; every word must be somewhere in them."""
        query = """
            select l.record, p.state from presence p
            join listings l using (hub, listing_id, content_sha256)
            where (:hub is null or p.hub = :hub)
        """
        facts: dict[str, Any] = {"hub": hub, "limit": limit}
        for number, word in enumerate((words or "").split()):
            facts[f"word{number}"] = f"%{word.replace('%', '').replace('_', '')}%"
            query += f" and (l.title like :word{number} or l.creator like :word{number} or l.record like :word{number})"
        rows = self.db.query(query + " order by l.first_seen desc, l.rowid desc limit :limit", facts)
        return [(listing_from_dict(json.loads(row["record"])), row["state"]) for row in rows]

    def latest(self, hub: str) -> Iterator[Listing]:
        """The newest version of every listing of a hub."""
        query = """
            select record from listings where rowid in (
                select max(rowid) from listings where hub = ? group by listing_id
            ) order by rowid
        """
        for row in self.db.query(query, [hub]):
            yield listing_from_dict(json.loads(row["record"]))
