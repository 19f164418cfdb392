"""The items of scans.db: every listed file of every target with its results, stored once.

An item holds for a range of scans of its target. A scan that lists the same file and finds the same
result only extends the range, so that scanning an unchanged target again adds nothing. A result
that differs begins a new range; the earlier one stays with the scans in which it held. Listings are
stored once for all their files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from crawlers.listing import Listing, listing_from_dict, listing_to_dict
from scanner.databases import transaction
from scanner.records import ResultRow
from scanner.scanning.searched_file_store import Searched, lasting, rows_in, rows_record

_ITEMS_AT_ONCE = 200
# Counters of a listing change daily and decide nothing.
_COUNTERS = ("downloads",)


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan; `finished_at` is None while it can be resumed.

    Attributes:
        fingerprint: the search key of its settings and gallery (scanner.scanning.keys).
        number: counts all scans.
        gallery_version: of the newest gallery that it searched; None before it is finished, and for
            scans of earlier versions.
    """

    scan_id: str
    target: str
    fingerprint: str
    started_at: str
    listed_at: str | None
    finished_at: str | None
    gallery_size: int
    number: int
    gallery_version: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One file of one listing of a target.

    Attributes:
        state: "listed", "fetched", "triaged" or "judged".
        rows: results; None before the state is "judged".
        searched: the gallery for which the results hold; None if an earlier version judged it.
        first_scan: number of the first scan in which these results held.
    """

    item_id: int
    item_key: str
    state: str
    listing: Listing
    file_number: int
    sha256: str | None
    rows: tuple[ResultRow, ...] | None
    searched: Searched | None
    first_scan: int


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """Results of one scan for a file, and the file's listing.

    Attributes:
        target: target of the scan, as in `ScanRow`.
    """

    target: str
    listing: Listing
    file_number: int
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class CarriedItem:
    """An item whose results hold as they are.

    Attributes:
        at: when that was found.
        gallery_version: of the gallery in which they hold.
    """

    item_id: int
    at: datetime
    gallery_version: int


class ItemStore:
    """The items of scans.db."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, scan: ScanRow, listings: Iterable[Listing]) -> None:
        """Add the files of listings to a scan.

        A file whose deciding facts are as in an earlier scan keeps its item, which `pending` yields
        with its results.
        """
        with transaction(self._db):
            for listing in listings:
                record = listing_to_dict(listing)
                number = keep_listing(self._db, record)
                for file_number, file in enumerate(listing.files):
                    item_key = f"{listing.hub}:{listing.listing_id}:{file.name}"
                    self._add(scan, item_key, record, number, file_number)

    def _add(
        self,
        scan: ScanRow,
        item_key: str,
        record: Mapping[str, Any],
        listing_number: int,
        file_number: int,
    ) -> None:
        listed = {
            "listing_number": listing_number,
            "file_number": file_number,
            "listed_scan": scan.number,
        }
        new = {**listed, **_NOTHING_KNOWN, "first_scan": scan.number, "last_scan": scan.number}
        query = (
            "select * from items where target = ? and item_key = ? order by first_scan desc limit 1"
        )
        known = next(iter(self._db.query(query, [scan.target, item_key])), None)
        if known is None:
            last = "select coalesce(max(position), 0) from items where target = ?"
            position = self._db.execute(last, [scan.target]).fetchone()[0] + 1
            row = {"target": scan.target, "item_key": item_key, "position": position}
            self._db.table("items").insert({**row, **new})
            return
        is_same = known["listing_number"] == listing_number or _deciding_facts(
            json.loads(self._record(known["listing_number"])), known["file_number"]
        ) == _deciding_facts(record, file_number)
        is_of_this_scan = known["first_scan"] == scan.number
        if is_same and (is_of_this_scan or self._goes_on(scan, known)):
            self._replace(known, listed)
        elif is_of_this_scan or known["state"] != "judged":
            # The bytes that were fetched stay known, so that their faces can be destroyed.
            self._replace(known, {**new, "sha256": known["sha256"]})
        else:
            row = {name: known[name] for name in ("target", "item_key", "position")}
            self._db.table("items").insert({**row, **new})

    def _replace(self, known: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        """Change an item, and delete its former listing if no item refers to it any more."""
        self._db.table("items").update(known["item_id"], dict(fields))
        if known["listing_number"] != fields["listing_number"]:
            self._db.execute(
                "delete from item_listings where listing_number = :number "
                "and not exists (select 1 from items where listing_number = :number)",
                {"number": known["listing_number"]},
            )

    def _goes_on(self, scan: ScanRow, known: Mapping[str, Any]) -> bool:
        """Whether the range of a judged item may be extended to a scan.

        It may not if the scan before did not list or examine the file.
        """
        query = "select max(number) from scans where target = ? and number < ?"
        before = self._db.execute(query, [scan.target, scan.number]).fetchone()[0] or 0
        return known["state"] == "judged" and bool(known["last_scan"] >= before)

    def _record(self, listing_number: int) -> str:
        query = "select record from item_listings where listing_number = ?"
        return str(self._db.execute(query, [listing_number]).fetchone()[0])

    def count(self, scan: ScanRow) -> tuple[int, int]:
        """Return how many listed files of a scan are done, and how many there are."""
        query = (
            "select count(case when state = 'judged' and last_scan >= :number then 1 end), "
            "count(*) from items where target = :target and listed_scan = :number"
        )
        values = {"target": scan.target, "number": scan.number}
        done, total = self._db.execute(query, values).fetchone()
        return int(done), int(total)

    def pending(self, scan: ScanRow) -> Iterator[Item]:
        """Yield the listed files of a scan that are not done, those without results first."""
        for known in (False, True):
            where = (
                "i.listed_scan = :number and i.state = 'judged' and i.last_scan < :number"
                if known
                else "i.listed_scan = :number and i.state <> 'judged'"
            )
            yield from self._pages(scan.target, where, {"number": scan.number})

    def of_bytes(self, scan: ScanRow, sha256s: Collection[str]) -> Iterator[Item]:
        """Yield the listed files of a scan that have one of these SHA-256."""
        for sha256 in sorted(sha256s):
            where = "i.listed_scan = :number and i.sha256 = :sha256"
            yield from self._pages(scan.target, where, {"number": scan.number, "sha256": sha256})

    def _pages(self, target: str, where: str, values: Mapping[str, Any]) -> Iterator[Item]:
        """Yield items a page at a time: no cursor stays open, and the memory does not grow."""
        query = (
            "select i.*, l.record from items i join item_listings l using (listing_number) "
            f"where i.target = :target and i.position > :last and {where} "
            "order by i.position limit :limit"
        )
        last = -1
        while page := list(
            self._db.query(
                query, {"target": target, "last": last, "limit": _ITEMS_AT_ONCE, **values}
            )
        ):
            # The files of one listing follow each other.
            listings = {row["listing_number"]: row["record"] for row in page}
            parsed = {number: _listing(record) for number, record in listings.items()}
            for row in page:
                yield _item(row, parsed[row["listing_number"]])
            last = page[-1]["position"]

    def note_fetched(self, item: Item, scan: ScanRow, sha256: str | None) -> None:
        """Move an item to `fetched`."""
        self._move(item, scan, {"state": "fetched", "sha256": sha256})

    def note_triaged(self, item: Item, scan: ScanRow, sha256: str | None) -> None:
        """Move an item to `triaged`."""
        self._move(item, scan, {"state": "triaged", "sha256": sha256})

    def _move(self, item: Item, scan: ScanRow, fields: Mapping[str, str | None]) -> None:
        if item.first_scan != scan.number:
            return  # its earlier results hold until there are others
        with transaction(self._db):
            self._db.table("items").update(item.item_id, dict(fields))

    def note_judged(
        self,
        item: Item,
        scan: ScanRow,
        sha256: str | None,
        rows: Sequence[ResultRow],
        searched: Searched,
        now: datetime,
    ) -> None:
        """Move an item to `judged`, with its results and the gallery for which they hold."""
        record = {
            "state": "judged",
            "sha256": sha256,
            "verdict": json.dumps(rows_record(rows), ensure_ascii=False),
            "search_key": searched.search_key,
            "settings_key": searched.settings_key,
            "sampling_keys": json.dumps(searched.sampling_keys),
            "searched_at": now.isoformat(),
            "searched_through": max(
                (row.gallery_version for row in rows if row.gallery_version is not None),
                default=None,
            ),
            "last_scan": scan.number,
        }
        is_same = item.sha256 == sha256 and lasting(item.rows or ()) == lasting(rows)
        with transaction(self._db):
            items = self._db.table("items")
            stored = items.get(item.item_id)
            if item.first_scan == scan.number or is_same:
                # What was fetched is remembered even if the file could not be examined then.
                record["sha256"] = sha256 or stored["sha256"]
                record["last_scan"] = max(scan.number, stored["last_scan"])
                items.update(item.item_id, record)
                return
            # The earlier results stay with their scans, and are no more to be examined in this one.
            items.update(item.item_id, {"listed_scan": stored["last_scan"]})
            names = ("target", "item_key", "position", "listing_number", "file_number")
            row = {name: stored[name] for name in names}
            number = {"first_scan": scan.number, "listed_scan": scan.number}
            key = "target = ? and item_key = ? and first_scan = ?"
            values = [row["target"], row["item_key"], scan.number]
            again = next(items.pks_and_rows_where(key, values), None)
            if again is not None:  # another process has stored it meanwhile
                items.update(again[0], record)
            else:
                items.insert({**row, **record, **number})

    def carry(self, items: Iterable[CarriedItem], scan: ScanRow) -> None:
        """Note that the results of items hold in a scan too."""
        with transaction(self._db):
            self._db.conn.executemany(
                "update items set last_scan = max(last_scan, ?), searched_at = ?, "
                "searched_through = ? where item_id = ?",
                [
                    (scan.number, item.at.isoformat(), item.gallery_version, item.item_id)
                    for item in items
                ],
            )

    def judged(self, sha256: str, search_key: str | None = None) -> list[JudgedItem]:
        """Return results for these bytes, with a key those under it; the newest listing first."""
        query = (
            "select i.target, l.record, i.file_number, i.verdict "
            "from items i join item_listings l using (listing_number) "
            "where i.sha256 = :sha256 and i.state = 'judged' "
            "and (:key is null or i.search_key = :key) order by i.searched_at desc, i.item_id desc"
        )
        return [
            JudgedItem(
                row["target"],
                _listing(row["record"]),
                row["file_number"],
                rows_in(row["verdict"]),
            )
            for row in self._db.query(query, {"sha256": sha256, "key": search_key})
        ]


def keep_listing(db: Database, record: Mapping[str, Any]) -> int:
    """Store a listing, or bring the counters of a stored one up to date; return its number."""
    lasting = {name: value for name, value in record.items() if name not in _COUNTERS}
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
    row = {
        "digest": digest,
        "hub": record.get("hub", ""),
        "record": json.dumps(record, ensure_ascii=False),
    }
    query = (
        "insert into item_listings (digest, hub, record) values (:digest, :hub, :record) "
        "on conflict (digest) do update set record = excluded.record returning listing_number"
    )
    return int(db.execute(query, row).fetchone()[0])


_NOTHING_KNOWN: dict[str, str | None] = {
    "state": "listed",
    **dict.fromkeys(
        (
            *("sha256", "verdict", "search_key", "settings_key", "sampling_keys"),
            *("searched_at", "searched_through"),
        )
    ),
}


def _listing(record: str) -> Listing:
    return listing_from_dict(json.loads(record))


def _item(row: Mapping[str, Any], listing: Listing) -> Item:
    searched = None
    if row["sampling_keys"] is not None:
        keys = tuple(json.loads(row["sampling_keys"]))
        searched = Searched(row["search_key"], row["settings_key"], keys)
    return Item(
        row["item_id"],
        row["item_key"],
        row["state"],
        listing,
        row["file_number"],
        row["sha256"],
        rows_in(row["verdict"]) if row["verdict"] else None,
        searched,
        row["first_scan"],
    )


def _deciding_facts(listing: Mapping[str, Any], file_number: int) -> list[Any]:
    """Return the facts of a listing that affect verdict and case: no counters and no addresses."""
    names = ("title", "creator", "base_model", "minor_flag", "real_person_flag")
    facts = [listing.get(name) for name in names]
    words = [list(listing.get(name) or ()) for name in ("triggers", "tags")]
    file = listing["files"][file_number]
    return [*facts, *words, file["name"], file.get("sha256"), file.get("size_bytes")]
