"""Verdicts on bytes that were judged before, for whoever asks the same of them again; needs no model, no open vault, no network.

What was asked decides: words and base model that no listing named were not looked for. A `clear` therefore answers only
those who say the same of the file. That somebody was found is true of the bytes whatever is asked.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from crawlers.listing import listing_to_dict
from face_index.vault.state import gallery_version_of
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.verdict import NEEDS_A_LOOK, Outcome
from scanner.scanning.scan_store import JudgedItem, ScanStore
from scanner.settings import Settings
from scanner.web.api.declared_files import listing_of
from scanner.web.api.verdicts import WATCHED, Standings
from scanner.web.queue.jobs import JobKind, Jobs, Order
from scanner.web.store import WebStore

# What scans of the queue are called in the ledger, before the job's id.
JOB_TARGET = "job "
_PRIVATE = (
    "folder",
    "url",
)  # where this machine's operator, or an address that somebody gave, says what lies there
_SETTLED = (CaseStatus.REJECTED, CaseStatus.AUTHORISED)


def is_listed(crawl_path: Path, sha256: str) -> bool:
    """Whether a listing that was crawled, and so is public, has a file of these bytes; nothing is made or locked for it."""
    if not crawl_path.exists():
        return False
    query = (
        "select 1 from files f join presence p using (hub, listing_id) where f.sha256 = ? limit 1"
    )
    with closing(
        sqlite3.connect(f"{crawl_path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    ) as db:
        tables = {
            name for (name,) in db.execute("select name from sqlite_master where type = 'table'")
        }
        return {"files", "presence"} <= tables and db.execute(
            query, [sha256]
        ).fetchone() is not None


class KnownFiles:
    """What the gate remembers."""

    def __init__(
        self, settings: Settings, store: WebStore, standings: Standings, jobs: Jobs
    ) -> None:
        self._settings, self._store, self._standings, self._jobs = settings, store, standings, jobs
        self._scan_store: ScanStore | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._scan_store is not None:
            self._scan_store.close()

    def rows_for(self, order: Order) -> list[dict[str, Any]] | None:
        """Rows that answer an order at once; None where the worker must look at what is asked.

        A listing of a file that shows somebody is always the worker's: it is added to the case, or is under a licence.
        """
        if order.sha256 is None:
            return None
        by_hash = order.kind != JobKind.UPLOAD
        sent = self._jobs.sent_by(order.account_id, order.sha256) if by_hash else order
        listed = by_hash and is_listed(self._settings.crawl_path, order.sha256)
        if sent is None and not listed:
            return None
        judged = self._judged(order.sha256)
        if (
            found := self._found(judged, order.account_id, "" if by_hash else order.name)
        ) is not None:
            return None if order.declared else found
        if sent is None or listed or (by_hash and order.declared):
            return None  # what a hub says of it by now, the worker reads
        said = _said(listing_to_dict(listing_of(sent, "", self._settings.web.hub_name)), 0)
        same = next(
            (one.rows for one in judged if _said(one.listing, one.file_number) == said), None
        )
        if same is None or not self._is_answer(same) or (order.declared and shows_somebody(same)):
            return None
        return same

    def rows_of(self, sha256: str, account_id: str) -> list[dict[str, Any]] | None:
        """Rows of what was found last in these bytes, whatever was asked: each row says what it was.

        Of others' uploads nothing is told but that somebody was found, and that to an account that may ask about the bytes.
        """
        sent = self._jobs.sent_by(account_id, sha256)
        if sent is None and not is_listed(self._settings.crawl_path, sha256):
            return None
        judged = self._judged(sha256)
        if (found := self._found(judged, account_id)) is not None:
            return found
        own = next((one.rows for one in judged if self._is_theirs(one, account_id)), None)
        return own if own is not None and self._is_answer(own) else None

    def _judged(self, sha256: str) -> list[JudgedItem]:
        """Every look at these bytes for those who are registered now, as we look now; the newest first.

        What the worker would do now it writes down whenever somebody enters or leaves the gallery.
        """
        fact = self._store.fact(WATCHED)
        if fact is None:
            return []
        version, fingerprint = fact.split()
        if int(version) != gallery_version_of(self._settings.vault_path):
            return []
        with self._lock:
            if self._scan_store is None:
                self._scan_store = ScanStore(self._settings.scans_path, any_thread=True)
            return self._scan_store.judged(sha256, fingerprint)

    def _found(
        self, judged: Sequence[JudgedItem], account_id: str, name: str = ""
    ) -> list[dict[str, Any]] | None:
        """The newest rows that show somebody about whom a case is still open or confirmed; None without any.

        Args:
            name: what the asker calls the file. How another sender named it and what they said of it is not told.
        """
        for one in judged:
            cases = self._cases(one.rows)
            open_ids = {case_id for case_id, case in cases.items() if case.status not in _SETTLED}
            finds = any(row.get("case_id") in open_ids for row in one.rows if shows_somebody([row]))
            if finds and self._is_answer(one.rows):
                theirs = self._is_theirs(one, account_id)
                rows = one.rows if theirs else [{**row, "asked": None} for row in one.rows]
                return (
                    rows
                    if theirs and not name
                    else _renamed(one, rows, name or str(one.rows[0]["sha256"]))
                )
        return None

    def _is_answer(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether rows may answer somebody else than who asked first.

        A licence or a person's word is for an uploader: what one may is not known to be allowed to another. What could
        not be looked at is looked at again.
        """
        if not rows or any(row["outcome"] == Outcome.FAILED or row["authorised"] for row in rows):
            return False
        if any(
            row["reason"] == NEEDS_A_LOOK and self._was_looked_at(row["sha256"]) for row in rows
        ):
            return False  # it may be sampled now
        return all(one.status != CaseStatus.AUTHORISED for one in self._cases(rows).values())

    def _was_looked_at(self, sha256: str) -> bool:
        with self._lock:
            return self._scan_store is not None and self._scan_store.held_looks_at(sha256)

    def _cases(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Standing]:
        return self._standings.of({row["case_id"] for row in rows if row.get("case_id")})

    def _is_theirs(self, one: JudgedItem, account_id: str) -> bool:
        """Whether a look was asked for by that account, or was one at a public listing."""
        if not one.listing.get("declared") and one.listing["hub"] not in _PRIVATE:
            return True
        job = self._jobs.find(one.target.removeprefix(JOB_TARGET))
        return job is not None and job.account_id == account_id


def shows_somebody(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody was found, so that it matters who uploads the file where."""
    return any(row["outcome"] in (Outcome.MATCH, Outcome.POSSIBLE) for row in rows)


def _renamed(one: JudgedItem, rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Rows with the file under another name; members of an archive keep theirs behind it."""
    before = one.listing["files"][one.file_number]["name"]
    return [{**row, "file": name + row["file"].removeprefix(before)} for row in rows]


def _said(listing: Mapping[str, Any], file_number: int) -> list[Any]:
    """Everything that a listing says of a file which may change what is asked of it, or forbid asking."""
    words = [list(listing.get(name) or ()) for name in ("triggers", "tags")]
    file = listing["files"][file_number]["name"]
    return [
        listing["title"],
        listing.get("base_model"),
        bool(listing.get("minor_flag")),
        *words,
        file,
    ]
