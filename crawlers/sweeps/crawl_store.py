"""crawl.db: every version of every listing with its raw response, its files and its events."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlite_utils import Database

from crawlers.errors import PlaceBusy
from crawlers.listing import Listing, listing_from_dict, listing_to_dict
from crawlers.sweeps.crawl_schema import migrations
from crawlers.sweeps.events import EXPECTED_AT_FIRST, Event, EventKind
from crawlers.sweeps.file_tables import keep_files, keep_other_hashes, rows_among
from crawlers.sweeps.likeness import likeness_of
from crawlers.sweeps.listing_words import keep_words
from crawlers.sweeps.versions import KnownListing, Version, happened_to, version_of

# How long a statement waits for other writing processes.
_BUSY_S = 30.0


class CrawlStore:
    """The only writer of crawl.db."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        # Of several processes that start first, one creates the tables. Changing to a write-ahead
        # log does not wait for others as statements do
        # (sqlite.org/pragma.html#pragma_journal_mode), hence the lock.
        with FileLock(path.with_suffix(".lock")):
            self.db = Database(sqlite3.connect(path, timeout=_BUSY_S))
            self.db.enable_wal()
            migrations.apply(self.db)
        # A crash of the machine may lose the last page, which the sweep requests again, but never
        # the file.
        self.db.execute("pragma synchronous = normal")
        self.db.execute("pragma wal_autocheckpoint = 8000")

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write everything inside the block, or nothing."""
        self.db.conn.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.conn.rollback()
            raise
        self.db.conn.commit()

    @contextmanager
    def alone_with(self, place: str) -> Iterator[None]:
        """Keep other programs from sweeping the same place; raises PlaceBusy if one does."""
        locks = self._path.with_name(self._path.name + ".locks")
        locks.mkdir(exist_ok=True)
        lock = FileLock(locks / hashlib.sha256(place.encode()).hexdigest()[:16], timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise PlaceBusy(place) from error
        try:
            yield
        finally:
            lock.release()

    def record(self, listing: Listing, now: datetime) -> bool:
        """Store a listing; True if it is new or changed. Older versions stay."""
        with self.transaction():
            return bool(self.see([listing], "", 0, now))

    def known(self, hub: str, listing_ids: Sequence[str], place: str) -> dict[str, KnownListing]:
        """The stored state of these listings by id, with the last sweep of `place`."""
        query = """
            select p.listing_id, p.content_sha256, p.state, s.sweep_id, p.revision
            from presence p left join sightings s
            on s.place = ? and s.hub = p.hub and s.listing_id = p.listing_id
            where p.hub = ? and p.listing_id in
        """
        rows = rows_among(self.db, query, listing_ids, [place, hub])
        return {row[0]: KnownListing(*row[1:]) for row in rows}

    def see(
        self,
        listings: Sequence[Listing],
        place: str,
        sweep_id: int,
        now: datetime,
        *,
        first: bool = False,
    ) -> list[Event]:
        """Store the listings of a sweep and return their events. Must be inside a transaction.

        Args:
            listings: listings of one hub, each id once.
            first: whether this place was never swept to its end.
        """
        if not listings:
            return []
        hub, moment = listings[0].hub, now.isoformat()
        versions = [version_of(listing) for listing in listings]
        known = self.known(hub, [version.listing_id for version in versions], place)
        fields = {
            version.listing_id: self._changed_fields(listing, before)
            for version, listing in zip(versions, listings, strict=True)
            if (before := known.get(version.listing_id))
            and before.content_sha256 != version.content_sha256
        }
        self._keep_versions(listings, versions, moment)
        keep_other_hashes(self.db, listings)
        self._keep_presence(hub, listings, versions)
        changed = [
            listing
            for listing, version in zip(listings, versions, strict=True)
            if (before := known.get(version.listing_id)) is None
            or before.content_sha256 != version.content_sha256
        ]
        keep_words(self.db, changed)
        self._sight(hub, [version.listing_id for version in versions], place, sweep_id)
        found = [
            (version.listing_id, kind, details)
            for version in versions
            for kind, details in happened_to(
                version, known.get(version.listing_id), fields.get(version.listing_id, [])
            )
        ]
        return self._note_all(
            hub, [*found, *keep_files(self.db, hub, listings, moment)], moment, first=first
        )

    def touch(self, hub: str, listing_ids: Sequence[str], place: str, sweep_id: int) -> None:
        """Record that listings are unchanged and still listed. Must be inside a transaction."""
        missing = "update presence set missing_since = null where hub = ? and listing_id = ?"
        self.db.conn.executemany(missing, [(hub, listing_id) for listing_id in listing_ids])
        self._sight(hub, listing_ids, place, sweep_id)

    def _keep_presence(
        self, hub: str, listings: Sequence[Listing], versions: list[Version]
    ) -> None:
        self.db.conn.executemany(
            "insert into presence (hub, listing_id, content_sha256, state, missing_since, "
            "revision, likeness, downloads) values (?, ?, ?, ?, null, ?, ?, ?) "
            "on conflict (hub, listing_id) do update set "
            "content_sha256 = excluded.content_sha256, state = excluded.state, "
            "missing_since = null, revision = excluded.revision, likeness = excluded.likeness, "
            "downloads = excluded.downloads",
            [
                (
                    hub,
                    version.listing_id,
                    version.content_sha256,
                    str(listing.standing),
                    listing.revision,
                    likeness_of(listing).score,
                    listing.downloads,
                )
                for version, listing in zip(versions, listings, strict=True)
            ],
        )

    def _sight(self, hub: str, listing_ids: Sequence[str], place: str, sweep_id: int) -> None:
        self.db.conn.executemany(
            "insert into sightings (place, hub, listing_id, sweep_id) values (?, ?, ?, ?) "
            "on conflict (place, hub, listing_id) do update set sweep_id = excluded.sweep_id",
            [(place, hub, listing_id, sweep_id) for listing_id in listing_ids],
        )

    def note(
        self, kind: EventKind, hub: str, listing_id: str, now: datetime, details: dict[str, Any]
    ) -> Event:
        """Write an event. Must be called inside a transaction."""
        return self._note_all(hub, [(listing_id, kind, details)], now.isoformat())[0]

    def _note_all(
        self,
        hub: str,
        found: list[tuple[str, EventKind, dict[str, Any]]],
        moment: str,
        *,
        first: bool = False,
    ) -> list[Event]:
        # The transaction excludes other writers, so ids can be assigned here.
        last = self.db.execute("select coalesce(max(event_id), 0) from events").fetchone()[0]
        events = [
            Event(
                moment, hub, listing_id, kind, details, number, first and kind in EXPECTED_AT_FIRST
            )
            for number, (listing_id, kind, details) in enumerate(found, last + 1)
        ]
        self.db.conn.executemany(
            "insert into events (event_id, at, hub, listing_id, kind, details, quiet) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    event.event_id,
                    event.at,
                    hub,
                    event.listing_id,
                    str(event.kind),
                    json.dumps(event.details, ensure_ascii=False, sort_keys=True),
                    event.quiet,
                )
                for event in events
            ],
        )
        return events

    def _keep_versions(
        self, listings: Sequence[Listing], versions: list[Version], moment: str
    ) -> None:
        self.db.conn.executemany(
            "insert into listings (hub, listing_id, content_sha256, title, url, creator, "
            "downloads, first_seen, last_seen, record, raw) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "on conflict (hub, listing_id, content_sha256) do update set "
            "last_seen = excluded.last_seen, downloads = excluded.downloads",
            [
                (
                    listing.hub,
                    listing.listing_id,
                    version.content_sha256,
                    listing.title,
                    listing.url,
                    listing.creator,
                    listing.downloads,
                    moment,
                    moment,
                    version.record,
                    listing.raw,
                )
                for version, listing in zip(versions, listings, strict=True)
            ],
        )

    def _changed_fields(self, listing: Listing, before: KnownListing) -> list[str]:
        query = (
            "select record from listings where hub = ? and listing_id = ? and content_sha256 = ?"
        )
        row = self.db.execute(
            query, [listing.hub, listing.listing_id, before.content_sha256]
        ).fetchone()
        # Converted to a listing, so that a field that earlier versions of this program did not
        # store is no change.
        old: dict[str, Any] = {}
        if row:
            stored = listing_from_dict({"downloads": None, **json.loads(row[0])})
            old = listing_to_dict(replace(stored, downloads=None))
        new = listing_to_dict(listing)
        return sorted(
            name
            for name in new
            if name not in ("downloads", "revision") and old.get(name) != new[name]
        )

    def events(
        self, hub: str | None = None, limit: int = 50, after: int | None = None
    ) -> list[Event]:
        """The newest events first; with `after`, the events behind that id, oldest first.

        With `after`, quiet events are left out.
        """
        news = "" if after is None else " and not quiet"
        where = f"(:hub is null or hub = :hub) and event_id > :after{news}"
        facts = {"hub": hub, "after": after or 0, "limit": limit}
        order = "event_id desc" if after is None else "event_id"
        query = f"select * from events where {where} order by {order} limit :limit"
        return [
            Event(
                row["at"],
                row["hub"],
                row["listing_id"],
                EventKind(row["kind"]),
                json.loads(row["details"]),
                row["event_id"],
                bool(row["quiet"]),
            )
            for row in self.db.query(query, facts)
        ]

    def newest(self, hub: str, listing_id: str) -> Iterator[Listing]:
        """The listing as it was seen last; nothing if it is unknown."""
        query = """
            select l.record, l.raw, p.downloads
            from presence p join listings l using (hub, listing_id, content_sha256)
            where p.hub = ? and p.listing_id = ?
        """
        for row in self.db.query(query, [hub, listing_id]):
            yield stored_listing(row)

    def is_listed(self, hub: str, listing_id: str) -> bool:
        """Whether the hub listed it when it was asked last."""
        query = "select 1 from presence where hub = ? and listing_id = ? and state = 'listed'"
        return self.db.execute(query, [hub, listing_id]).fetchone() is not None

    def places_of(self, hub: str, listing_id: str) -> list[str]:
        """The places whose sweeps found it."""
        query = "select place from sightings where hub = ? and listing_id = ? order by place"
        return [row[0] for row in self.db.execute(query, [hub, listing_id])]

    def latest(self, hub: str) -> Iterator[Listing]:
        """The newest version of every listing of a hub."""
        query = """
            select record, raw, downloads from listings where rowid in (
                select max(rowid) from listings where hub = ? group by listing_id
            ) order by rowid
        """
        for row in self.db.query(query, [hub]):
            yield stored_listing(row)


def stored_listing(row: dict[str, Any]) -> Listing:
    """A listing from a row with `record`, `raw` and `downloads`."""
    return listing_from_dict(
        {**json.loads(row["record"]), "raw": row["raw"] or "", "downloads": row["downloads"]}
    )
