"""Findings about files in crawl.db: their triage, other listings of them, and failed requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore, stored_listing
from crawlers.sweeps.events import Event, EventKind
from crawlers.sweeps.likeness import likeness_of

# How long an answer counts. An unknown file may be published tomorrow, but is not requested hourly.
POSITIVE, NEGATIVE = timedelta(days=30), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of a listing that still needs work, and how likely it is to carry a likeness."""

    listing: Listing
    file: RemoteFile
    likeness: float


class Inquiries:
    """Reads and writes the tables `triages` and `lookups`, and completes the table `files`."""

    def __init__(self, store: CrawlStore) -> None:
        self._store, self._db = store, store.db

    def fresh(
        self, source: str, sha256s: Sequence[str], now: datetime
    ) -> dict[str, tuple[bool, str, str]]:
        """The answers of a source that still count: found or not, time of the answer, expiry."""
        moment = now.isoformat()
        query = """
            select sha256, found, looked_at, expires_at from lookups
            where source = ? and expires_at > ? and sha256 in
        """
        rows: list[Any] = []
        for start in range(0, len(sha256s), 10_000):
            part = sha256s[start : start + 10_000]
            rows += self._db.execute(
                f"{query}({','.join('?' * len(part))})", [source, moment, *part]
            ).fetchall()
        return {row[0]: (bool(row[1]), row[2], row[3]) for row in rows}

    def remember(self, source: str, answers: Mapping[str, bool], now: datetime) -> None:
        """Store a source's answers until they expire. Must be called inside a transaction."""
        self._db.conn.executemany(
            "insert or replace into lookups (source, sha256, found, looked_at, expires_at) "
            "values (?, ?, ?, ?, ?)",
            [
                (
                    source,
                    sha256,
                    found,
                    now.isoformat(),
                    (now + (POSITIVE if found else NEGATIVE)).isoformat(),
                )
                for sha256, found in answers.items()
            ],
        )

    def hashes(self, *, vanished: bool) -> list[str]:
        """The SHA-256 of every known file, or only of files whose listing is no longer listed."""
        query = """
            select distinct f.sha256 from files f join presence p using (hub, listing_id)
            where f.sha256 != '' and (not :vanished or p.state not in ('listed', 'missing'))
            order by p.likeness desc
        """
        return [row["sha256"] for row in self._db.query(query, {"vanished": vanished})]

    def bytes_of(self, listing: Listing, file: RemoteFile) -> str | None:
        """The SHA-256 of a listed file from the hub or from its download; None if unknown."""
        if file.sha256 is not None:
            return file.sha256
        query = """
            select sha256 from files where hub = ? and listing_id = ? and name = ?
            and sha256 != '' order by rowid desc
        """
        row = self._db.execute(query, [listing.hub, listing.listing_id, file.name]).fetchone()
        return str(row[0]) if row else None

    def holders(self, sha256: str) -> list[Listing]:
        """Every listing of a file with this SHA-256, oldest first."""
        query = """
            select l.record, l.raw, l.downloads from files f
            join presence p using (hub, listing_id)
            join listings l using (hub, listing_id, content_sha256)
            where f.sha256 = ? order by f.first_seen, f.rowid
        """
        return [stored_listing(row) for row in self._db.query(query, [sha256])]

    def files_of_weights(self, weights_hash: str) -> list[str]:
        """The SHA-256 of every listed file with these tensor bytes, as far as hubs name both."""
        query = (
            "select distinct sha256 from files where weights_hash = ? and sha256 != '' "
            "order by sha256"
        )
        return [row[0] for row in self._db.execute(query, [weights_hash[:12]])]

    def to_triage(self, place: str | None, limit: int | None) -> Iterator[WantedFile]:
        """Yield files whose header was not read since their listing changed, likeliest first."""
        query = """
            select l.record, l.raw, l.downloads, p.likeness, p.content_sha256,
                (select group_concat(t.name, char(10)) from triages t
                 where t.hub = p.hub and t.listing_id = p.listing_id
                 and t.revision = p.content_sha256) as done
            from presence p join listings l using (hub, listing_id, content_sha256)
            where p.state = 'listed' and (:place is null or exists (
                select 1 from sightings s
                where s.place = :place and s.hub = p.hub and s.listing_id = p.listing_id))
            order by p.likeness desc, p.rowid
        """
        count = 0
        for row in list(self._db.query(query, {"place": place})):
            listing, done = stored_listing(row), (row["done"] or "").split("\n")
            for file in listing.files:
                if file.url and file.name not in done:
                    yield WantedFile(listing, file, row["likeness"] or 0.0)
                    count += 1
                    if limit is not None and count >= limit:
                        return

    def keep_triage(
        self,
        wanted: WantedFile,
        record: Mapping[str, Any],
        metadata: Mapping[str, str] | None,
        now: datetime,
    ) -> None:
        """Store a file's triage and raise the listing's likeness score to it.

        Must be called inside a transaction.
        """
        listing, file = wanted.listing, wanted.file
        likeness = likeness_of(listing, metadata)
        key = [listing.hub, listing.listing_id]
        content = self._db.execute(
            "select content_sha256 from presence where hub = ? and listing_id = ?", key
        ).fetchone()
        training = record.get("training") or {}
        stored = {
            **record,
            "likeness": likeness.score,
            "likeness_signals": [list(signal) for signal in likeness.signals],
        }
        self._db.execute(
            "insert or replace into triages (hub, listing_id, name, revision, sha256, session_id, "
            "weights_hash, likeness, bytes_read, at, record) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *key,
                file.name,
                content[0] if content else None,
                record.get("sha256") or file.sha256,
                training.get("session_id"),
                record.get("weights_hash"),
                likeness.score,
                record.get("bytes_read"),
                now.isoformat(),
                json.dumps(stored, ensure_ascii=False, sort_keys=True),
            ],
        )
        self._db.execute(
            "update presence set likeness = max(coalesce(likeness, 0), ?) "
            "where hub = ? and listing_id = ?",
            [likeness.score, *key],
        )

    def triages_of(self, listing: Listing) -> list[dict[str, Any]]:
        """The triage records of a listing's files."""
        rows = self._db.table("triages").rows_where(
            "hub = ? and listing_id = ?", [listing.hub, listing.listing_id]
        )
        return [{"name": row["name"], **json.loads(row["record"])} for row in rows]

    def of_one_training(self, session_id: str) -> list[dict[str, Any]]:
        """The files of one training session."""
        rows = self._db.table("triages").rows_where("session_id = ?", [session_id], order_by="at")
        return [
            {
                "hub": row["hub"],
                "listing_id": row["listing_id"],
                "name": row["name"],
                "sha256": row["sha256"],
            }
            for row in rows
        ]

    def know_file(
        self,
        listing: Listing,
        file: RemoteFile,
        sha256: str,
        weights_hash: str | None,
        now: datetime,
    ) -> list[Event]:
        """Store the hashes of a fetched file; an event if another listing has its weights."""
        row = (
            sha256,
            listing.hub,
            listing.listing_id,
            file.name,
            now.isoformat(),
            weights_hash and weights_hash[:12],
        )
        with self._store.transaction():
            others = self._db.execute(
                "select hub, listing_id from files "
                "where (sha256 = ? or (weights_hash = ? and weights_hash is not null)) "
                "and not (hub = ? and listing_id = ?) order by first_seen, rowid limit 1",
                [sha256, row[5], listing.hub, listing.listing_id],
            ).fetchone()
            before = self._db.execute(
                "select weights_hash from files where sha256 = ? and hub = ? and listing_id = ?",
                row[:3],
            ).fetchone()
            self._db.execute(
                "insert into files (sha256, hub, listing_id, name, first_seen, weights_hash) "
                "values (?, ?, ?, ?, ?, ?) on conflict (sha256, hub, listing_id) do update "
                "set weights_hash = coalesce(excluded.weights_hash, weights_hash)",
                row,
            )
            was_known = before is not None and (before[0] is not None or weights_hash is None)
            if others is None or was_known:
                return []
            details = {
                "sha256": sha256,
                "file": file.name,
                "same": "weights",
                "first": {"hub": others[0], "listing_id": others[1]},
            }
            return [
                self._store.note(
                    EventKind.RE_UPLOADED, listing.hub, listing.listing_id, now, details
                )
            ]
