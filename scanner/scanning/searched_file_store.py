"""The columns of scans.db that say through which gallery the results for a listed file hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from crawlers.listing import Listing, listing_from_dict
from scanner.databases import transaction
from scanner.records import ResultRow

_ITEMS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Searched:
    """The gallery in which a listed file was searched, and the samples that its results rest on.

    Attributes:
        search_key: key of settings and gallery; empty if they hold for no gallery.
        settings_key: key of the settings with which samples are drawn.
        sampling_keys: of the file, or of all members of an archive that were examined.
    """

    search_key: str
    settings_key: str
    sampling_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The newest results for a listed file.

    Attributes:
        number, item_key: of the item in scans.db.
        sha256: of the file; members of an archive have their own in the rows.
        searched: None if an earlier version judged it.
    """

    number: int
    item_key: str
    sha256: str
    searched: Searched | None
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """The listing of a judged file, and the target of the scan that judged it."""

    target: str
    listing: Listing
    file_number: int


@dataclass(frozen=True, slots=True)
class Retrosearch:
    """One search in everything that was drawn before.

    Attributes:
        gallery_version: version of the gallery that was searched.
        files: number of different files that were searched.
        unsearched: number of files without kept samples, which must be scanned again.
    """

    search_key: str
    gallery_version: int
    files: int
    unsearched: int
    started_at: str
    finished_at: str


class SearchedFileStore:
    """Remembers through which gallery the results for a file hold."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def stale(self, search_key: str) -> Iterator[JudgedFile]:
        """Yield every listed file whose newest results hold for another gallery or settings.

        Files with the same bytes follow each other.
        """
        query = (
            "select item_id, item_key, sha256, search_key, settings_key, sampling_keys, verdict "
            "from items where state = 'judged' and sha256 is not null and sha256 > :last "
            "and sha256 <= (select max(sha256) from (select sha256 from items "
            "where state = 'judged' and sha256 > :last order by sha256 limit :limit)) "
            "order by sha256, last_scan desc, item_id desc"
        )
        last = ""
        # Pages of whole files instead of an open cursor, because results are stored meanwhile.
        while page := list(self._db.query(query, {"last": last, "limit": _ITEMS_AT_ONCE})):
            last = page[-1]["sha256"]
            seen: set[tuple[str, str]] = set()
            for row in page:
                key = row["sha256"], row["item_key"]
                if key not in seen and row["search_key"] != search_key:
                    yield _judged_file(row)
                seen.add(key)

    def count_stale(self, search_key: str) -> int:
        """Return about how many files `stale` yields; older results of a file count too."""
        where = "state = 'judged' and sha256 is not null and search_key is not ?"
        return int(self._db.table("items").count_where(where, [search_key]))

    def members(self, sha256: str) -> set[str]:
        """Return the SHA-256 of the files in an archive, as they were judged."""
        query = "select verdict from items where sha256 = ? and state = 'judged'"
        return {
            row["sha256"]
            for (verdict,) in self._db.execute(query, [sha256]).fetchall()
            for row in json.loads(verdict)["rows"]
            if row.get("sha256")
        }

    def bytes_of_item(self, item_key: str) -> set[str]:
        """Return the SHA-256 of all bytes that a listed file had in any scan."""
        query = "select distinct sha256 from items where item_key = ? and sha256 is not null"
        return {row[0] for row in self._db.execute(query, [item_key])}

    def listed(self, file: JudgedFile) -> ListedFile:
        """Return the listing of a judged file."""
        query = (
            "select i.target, l.record, i.file_number from items i "
            "join item_listings l using (listing_number) where i.item_id = ?"
        )
        target, listing, number = self._db.execute(query, [file.number]).fetchone()
        return ListedFile(target, listing_from_dict(json.loads(listing)), number)

    def carry(
        self,
        files: Iterable[JudgedFile],
        search_key: str,
        gallery_version: int,
        at: datetime,
    ) -> None:
        """Store that the results of files hold for another gallery too."""
        with transaction(self._db):
            for file in files:
                record = json.dumps(rows_record(file.rows), ensure_ascii=False)
                self._keep_for_earlier_scans(file)
                self._db.execute(
                    "update items set search_key = ?, searched_through = ?, searched_at = ?, "
                    "verdict = ? where item_id = ? and state = 'judged'",
                    [search_key, gallery_version, at.isoformat(), record, file.number],
                )

    def _keep_for_earlier_scans(self, file: JudgedFile) -> None:
        """Leave the results of earlier scans as they were if those of a file have changed.

        The item then holds for the newest scan only.
        """
        stored = self._db.table("items").get(file.number)
        is_changed = lasting(rows_in(stored["verdict"])) != lasting(file.rows)
        if not is_changed or stored["first_scan"] >= stored["last_scan"]:
            return
        newest = {"first_scan": stored["last_scan"]}
        self._db.table("items").update(file.number, newest)
        earlier = {name: value for name, value in stored.items() if name != "item_id"}
        last_scan = stored["last_scan"] - 1
        self._db.table("items").insert(
            {**earlier, "last_scan": last_scan, "listed_scan": last_scan}
        )

    def note(self, retrosearch: Retrosearch) -> None:
        """Store a retrosearch that has ended."""
        with transaction(self._db):
            self._db.table("retrosearches").upsert(asdict(retrosearch), pk="search_key")

    def newest(self) -> Retrosearch | None:
        """Return the newest retrosearch; None if there was none."""
        rows = self._db.table("retrosearches").rows_where(order_by="finished_at desc", limit=1)
        return next((Retrosearch(**row) for row in rows), None)


def lasting(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """Return what of results does not differ between two scans that found the same."""
    changing = ("seconds", "gallery_version")
    return [
        {name: value for name, value in row.to_json().items() if name not in changing}
        for row in rows
    ]


def rows_record(rows: Sequence[ResultRow]) -> dict[str, Any]:
    """Return the JSON record of the results for a listed file."""
    return {"rows": [row.to_json() for row in rows]}


def rows_in(record: str) -> tuple[ResultRow, ...]:
    """Return the results in a stored JSON record."""
    return tuple(ResultRow.from_json(row) for row in json.loads(record)["rows"])


def _judged_file(row: Mapping[str, Any]) -> JudgedFile:
    searched = None
    if row["sampling_keys"] is not None:
        keys = tuple(json.loads(row["sampling_keys"]))
        searched = Searched(row["search_key"], row["settings_key"], keys)
    rows = rows_in(row["verdict"])
    return JudgedFile(row["item_id"], row["item_key"], row["sha256"], searched, rows)
