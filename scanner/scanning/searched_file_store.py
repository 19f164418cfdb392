"""The tables of scans.db about files whose verdicts were carried on to a newer gallery."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from crawlers.listing import Listing, listing_from_dict
from scanner.databases import transaction
from scanner.records import ResultRow


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The newest results for some bytes, of one listing or several.

    Attributes:
        sha256: of the file; members of an archive have their own in the rows.
        search_key: key of settings and gallery under which they were judged.
        rows: of all listings.
    """

    sha256: str
    search_key: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One listing of a judged file, and the target of the scan that judged it."""

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
        """Yield every file whose newest results hold for another gallery or other settings."""
        current = {
            row[0]
            for row in self._db.execute(
                "select sha256 from searched_files where search_key = ?", [search_key]
            )
        }
        query = (
            "select i.sha256, s.fingerprint, i.verdict from items i join scans s using (scan_id) "
            "where i.state = 'judged' and i.sha256 is not null order by i.sha256, i.rowid desc"
        )
        newest: JudgedFile | None = None
        for sha256, judged_under, verdict in self._db.execute(query):
            if newest is None or newest.sha256 != sha256:
                if newest is not None and _is_stale(newest, search_key, current):
                    yield newest
                newest = JudgedFile(sha256, judged_under, ())
            if judged_under == newest.search_key:
                rows = (ResultRow.from_json(row) for row in json.loads(verdict)["rows"])
                newest = JudgedFile(sha256, judged_under, (*newest.rows, *rows))
        if newest is not None and _is_stale(newest, search_key, current):
            yield newest

    def sampling_keys(self, sha256: str, search_key: str) -> list[str]:
        """Return the sampling keys of the verdicts on these bytes since a search key was used.

        Files that could not be drawn have none.
        Verdicts after it count too: if somebody registered while a scan was under way, some of its
        files were searched in a newer gallery than it began with. Without a verdict under the key
        they are those under the key of the newest verdict.
        """
        query = (
            "select distinct parts ->> '$.sampling_key' from verdicts where sha256 = :sha256 "
            "and parts is not null and record ->> '$.outcome' <> 'failed' "
            "and judged_at >= (select min(judged_at) from verdicts "
            "where sha256 = :sha256 and searched = coalesce("
            "(select searched from verdicts where sha256 = :sha256 and searched = :key), "
            "(select searched from verdicts where sha256 = :sha256 order by judged_at desc)))"
        )
        found = self._db.execute(query, {"sha256": sha256, "key": search_key})
        return [row[0] for row in found.fetchall()]

    def members(self, sha256: str) -> set[str]:
        """Return the SHA-256 of the files in an archive, as they were judged."""
        query = "select verdict from items where sha256 = ? and state = 'judged'"
        return {
            row["sha256"]
            for (verdict,) in self._db.execute(query, [sha256]).fetchall()
            for row in json.loads(verdict)["rows"]
            if row.get("sha256")
        }

    def listings(self, file: JudgedFile) -> list[ListedFile]:
        """Return the listings whose results a file has."""
        query = (
            "select s.target, i.listing, i.file_number from items i join scans s using (scan_id) "
            "where i.sha256 = ? and i.state = 'judged' and s.fingerprint = ? order by i.rowid"
        )
        return [
            ListedFile(target, listing_from_dict(json.loads(listing)), number)
            for target, listing, number in self._db.execute(query, [file.sha256, file.search_key])
        ]

    def carry(
        self, files: Iterable[JudgedFile], search_key: str, version: int, at: datetime
    ) -> None:
        """Note that the results of files hold for another gallery too."""
        rows: list[dict[str, Any]] = [
            {
                "sha256": file.sha256,
                "judged_under": file.search_key,
                "search_key": search_key,
                "gallery_version": version,
                "searched_at": at.isoformat(),
            }
            for file in files
        ]
        with transaction(self._db):
            self._db.table("searched_files").upsert_all(rows, pk="sha256")

    def note(self, retrosearch: Retrosearch) -> None:
        """Store a retrosearch that has ended."""
        with transaction(self._db):
            self._db.table("retrosearches").upsert(asdict(retrosearch), pk="search_key")

    def newest(self) -> Retrosearch | None:
        """Return the newest retrosearch; None if there was none."""
        rows = self._db.table("retrosearches").rows_where(order_by="finished_at desc", limit=1)
        return next((Retrosearch(**row) for row in rows), None)

    def searched_since(self, since: str) -> int:
        """Return the number of files that were drawn before a time and searched since."""
        query = (
            "select count(distinct i.sha256) from items i join scans s using (scan_id) "
            "where i.state = 'judged' and s.started_at < :since and (exists (select 1 "
            "from searched_files f where f.sha256 = i.sha256 and f.searched_at >= :since) "
            "or exists (select 1 from items j join scans t using (scan_id) "
            "where j.sha256 = i.sha256 and j.state = 'judged' and t.started_at >= :since))"
        )
        return int(self._db.execute(query, {"since": since}).fetchone()[0])


def _is_stale(file: JudgedFile, search_key: str, current: set[str]) -> bool:
    return file.search_key != search_key and file.sha256 not in current
