"""crawl.db: every version of every listing with its raw response, and the files it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database, Migrations

from crawlers.listing import Listing, listing_from_dict

migrations = Migrations("crawl")


@migrations()
def listings_and_their_versions(db: Database) -> None:
    db.table("listings").create(
        {
            "hub": str, "listing_id": str, "content_sha256": str, "title": str, "url": str, "creator": str,
            "downloads": int, "first_seen": str, "last_seen": str, "record": str,
        },
        pk=("hub", "listing_id", "content_sha256"),
    )  # fmt: skip


class CrawlStore:
    """The only writer of crawl.db."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Database(path)
        self._db.enable_wal()
        migrations.apply(self._db)

    def close(self) -> None:
        self._db.close()

    def record(self, listing: Listing, now: datetime) -> bool:
        """Remember a listing as it is now; True if it is new or changed. Older versions stay."""
        record = json.dumps(asdict(listing), ensure_ascii=False, sort_keys=True)
        # A download counter that moves is not a new version of the listing.
        lasting = json.dumps(asdict(replace(listing, downloads=None, raw="")), sort_keys=True)
        key = (listing.hub, listing.listing_id, hashlib.sha256(lasting.encode()).hexdigest())
        table = self._db.table("listings")
        known = list(table.rows_where("hub = ? and listing_id = ? and content_sha256 = ?", key, limit=1))
        if known:
            table.update(key, {"last_seen": now.isoformat(), "downloads": listing.downloads})
            return False
        table.insert(
            {
                "hub": key[0], "listing_id": key[1], "content_sha256": key[2], "title": listing.title, "url": listing.url,
                "creator": listing.creator, "downloads": listing.downloads, "first_seen": now.isoformat(),
                "last_seen": now.isoformat(), "record": record,
            }
        )  # fmt: skip
        return True

    def latest(self, hub: str) -> Iterator[Listing]:
        """The newest version of every listing of a hub."""
        query = """
            select record from listings where rowid in (
                select max(rowid) from listings where hub = ? group by listing_id
            ) order by rowid
        """
        for row in self._db.query(query, [hub]):
            yield listing_from_dict(json.loads(row["record"]))
