"""Existing verdicts on the bytes of a request; reading them needs no model, vault or network.

Verdicts hold for what was asked: a trigger or base model that no listing named was not tested. A
`clear` therefore answers only requests that declare the same about the file. That somebody was
found holds for the bytes, whatever was asked.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crawlers.listing import Listing
from face_index.vault.gallery_version import gallery_version_of
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.outcome import FINDINGS, NEEDS_A_LOOK, Outcome
from scanner.records import ResultRow
from scanner.scanning.item_store import JudgedItem
from scanner.scanning.scan_store import ScanStore
from scanner.settings import Settings
from scanner.web.queue.declared_files import listing_of
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.verdicts import SEARCH_FAILED_FACT, SNAPSHOT_FACT, CaseStandings
from scanner.web.store import WebStore

# The target of a scan in the store of scans, before the id of its job.
JOB_TARGET = "job "
# Hubs whose listings are not public: the operator's folders, and addresses in requests.
_PRIVATE = ("folder", "url")
_NOT_ACTED_ON = (CaseStatus.REJECTED, CaseStatus.AUTHORISED)


def is_listed(crawl_path: Path, sha256: str) -> bool:
    """Whether a crawled listing, and so a public one, has these bytes; opens crawl.db read-only."""
    if not crawl_path.exists():
        return False
    query = (
        "select 1 from files f join presence p using (hub, listing_id) where f.sha256 = ? limit 1"
    )
    uri = f"{crawl_path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as db:
        rows = db.execute("select name from sqlite_master where type = 'table'")
        if not {"files", "presence"} <= {name for (name,) in rows}:
            return False
        return db.execute(query, [sha256]).fetchone() is not None


@dataclass(frozen=True, slots=True)
class _KnownItem:
    """One examined file of one listing, with its rows as the queue stores them."""

    item: JudgedItem
    rows: tuple[JobRow, ...]

    @property
    def listing(self) -> Listing:
        return self.item.listing


class KnownFiles:
    """Finds verdicts that answer a request without a scan."""

    def __init__(
        self, settings: Settings, store: WebStore, standings: CaseStandings, jobs: Jobs
    ) -> None:
        self._settings, self._store, self._standings, self._jobs = settings, store, standings, jobs
        self._scan_store: ScanStore | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._scan_store is not None:
            self._scan_store.close()

    def rows_for(self, job_request: JobRequest) -> list[JobRow] | None:
        """Rows that answer a request at once; None if the worker must scan.

        If the file shows somebody, the worker always handles a request with a listing: it adds the
        listing to the case or finds the licence.
        """
        if job_request.sha256 is None:
            return None
        by_hash = job_request.kind != JobKind.UPLOAD
        upload = (
            self._jobs.sent_by(job_request.account_id, job_request.sha256)
            if by_hash
            else job_request
        )
        is_public = by_hash and is_listed(self._settings.crawl_path, job_request.sha256)
        if upload is None and not is_public:
            return None
        judged = self._judged(job_request.sha256)
        name = "" if by_hash else job_request.name
        finding = self._finding(judged, job_request.account_id, name)
        if finding is not None:
            return None if job_request.declared else finding
        if upload is None or is_public or (by_hash and job_request.declared):
            return None  # only the worker reads what a hub says now
        asked = _asked_of(listing_of(upload, "", self._settings.web.hub_name), 0)
        known_rows = next(
            (
                item.rows
                for item in judged
                if _asked_of(item.listing, item.item.file_number) == asked
            ),
            None,
        )
        if (
            known_rows is None
            or not self._is_answer(known_rows)
            or (job_request.declared and shows_somebody(known_rows))
        ):
            return None
        return list(known_rows)

    def rows_of(self, sha256: str, account_id: str) -> list[JobRow] | None:
        """The newest rows about these bytes, whatever was asked; each row says what that was.

        Of other accounts' uploads only a finding is returned, to accounts that may ask about the
        bytes.
        """
        if not self._may_ask(sha256, account_id):
            return None
        judged = self._judged(sha256)
        if (finding := self._finding(judged, account_id)) is not None:
            return finding
        own_rows = next(
            (item.rows for item in judged if self._is_requested_by(item, account_id)), None
        )
        if own_rows is None or not self._is_answer(own_rows):
            return None
        return list(own_rows)

    def awaits_search(self, sha256: str, account_id: str) -> bool:
        """Whether the account has a verdict on these bytes, and people are being searched for.

        The verdict holds for them too as soon as the worker has searched what was drawn before. It
        does not wait for a search that failed and is tried again.
        """
        if self._searched() is not None or self._store.fact(SEARCH_FAILED_FACT) is not None:
            return False
        return self._may_ask(sha256, account_id) and any(
            self._is_requested_by(_KnownItem(item, ()), account_id)
            and any(row.outcome != Outcome.FAILED for row in item.rows)
            for item in self._items(sha256)
        )

    def _may_ask(self, sha256: str, account_id: str) -> bool:
        """Whether the account sent these bytes or a crawled listing has them."""
        upload = self._jobs.sent_by(account_id, sha256)
        return upload is not None or is_listed(self._settings.crawl_path, sha256)

    def _searched(self) -> tuple[int, str, str] | None:
        """Version, search key and time of the present gallery's search; None before it has ended.

        The worker stores what was searched in SNAPSHOT_FACT whenever it changes.
        """
        fact = self._store.fact(SNAPSHOT_FACT)
        if fact is None or len(fact.split()) != 3:  # a worker of 0.1.0 stored two words
            return None
        version, search_key, searched_at = fact.split()
        if int(version) != gallery_version_of(self._settings.vault_path):
            return None
        return int(version), search_key, searched_at

    def _items(self, sha256: str, search_key: str | None = None) -> list[JudgedItem]:
        with self._lock:
            if self._scan_store is None:
                self._scan_store = ScanStore(self._settings.scans_path, any_thread=True)
            return self._scan_store.items.judged(sha256, search_key)

    def _judged(self, sha256: str) -> list[_KnownItem]:
        """All verdicts on these bytes with the present gallery and settings, newest first."""
        searched = self._searched()
        if searched is None:
            return []
        version, search_key, searched_at = searched
        return [
            _KnownItem(item, tuple(_row(row, version, searched_at) for row in item.rows))
            for item in self._items(sha256, search_key)
        ]

    def _finding(
        self, judged: Sequence[_KnownItem], account_id: str, name: str = ""
    ) -> list[JobRow] | None:
        """The newest rows with a finding whose case is open or confirmed; None if there are none.

        Args:
            name: the name that the requester gives the file. The name and listing of another sender
                are not revealed.
        """
        for item in judged:
            cases = self._cases(item.rows)
            open_ids = {
                case_id for case_id, case in cases.items() if case.status not in _NOT_ACTED_ON
            }
            has_finding = any(row.case_id in open_ids for row in item.rows if shows_somebody([row]))
            if has_finding and self._is_answer(item.rows):
                is_theirs = self._is_requested_by(item, account_id)
                rows = list(item.rows)
                if not is_theirs:
                    rows = [replace(row, asked=None) for row in rows]
                return (
                    rows
                    if is_theirs and not name
                    else _renamed(item, rows, name or str(item.rows[0].sha256))
                )
        return None

    def _is_answer(self, rows: Sequence[JobRow]) -> bool:
        """Whether rows may answer a requester other than the first one.

        A licence, or a person's permission, is for one uploader and says nothing about another.
        What could not be examined is examined again.
        """
        if not rows or any(row.outcome == Outcome.FAILED or row.authorised for row in rows):
            return False
        if any(row.reason == NEEDS_A_LOOK and self._was_examined(row.sha256 or "") for row in rows):
            return False  # it may be sampled now
        return all(case.status != CaseStatus.AUTHORISED for case in self._cases(rows).values())

    def _was_examined(self, sha256: str) -> bool:
        with self._lock:
            return self._scan_store is not None and self._scan_store.held.was_looked_at(sha256)

    def _cases(self, rows: Sequence[JobRow]) -> dict[str, Standing]:
        return self._standings.of({row.case_id for row in rows if row.case_id})

    def _is_requested_by(self, judged: _KnownItem, account_id: str) -> bool:
        """Whether the account requested the scan, or the listing is public."""
        if not judged.listing.declared and judged.listing.hub not in _PRIVATE:
            return True
        job = self._jobs.find(judged.item.target.removeprefix(JOB_TARGET))
        return job is not None and job.account_id == account_id


def _row(row: ResultRow, gallery_version: int, searched_at: str) -> JobRow:
    """A row that holds for the present gallery too; one that names no gallery was not searched."""
    known = JobRow.of(row, searched_at)
    return (
        known if row.gallery_version is None else replace(known, searched_through=gallery_version)
    )


def shows_somebody(rows: Sequence[JobRow]) -> bool:
    """Whether somebody was found, so that it matters who uploads the file where."""
    return any(row.outcome in FINDINGS for row in rows)


def _renamed(judged: _KnownItem, rows: Sequence[JobRow], name: str) -> list[JobRow]:
    """Rows with another name for the file; members of an archive keep theirs behind it."""
    old_name = judged.listing.files[judged.item.file_number].name
    return [replace(row, file=name + row.file.removeprefix(old_name)) for row in rows]


def _asked_of(listing: Listing, file_number: int) -> list[Any]:
    """Everything in a listing that changes what is asked of the file, or forbids sampling."""
    return [
        listing.title,
        listing.base_model,
        listing.minor_flag,
        listing.triggers,
        listing.tags,
        listing.files[file_number].name,
    ]
