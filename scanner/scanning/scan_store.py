"""scans.db: scans, the state of every item, verdicts. No face vector, no name of a person.

An item moves listed -> fetched -> triaged -> judged; each move is one transaction, so a scan that
is killed repeats at most the step it was in.
"""

from __future__ import annotations

import hmac
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlite_utils import Database

from scanner.errors import UnknownScan
from scanner.scanning.scan_schema import forget_older_pages, migrations

log = logging.getLogger(__name__)

Seal = Callable[[bytes], str]  # made with a key that whoever can write scans.db need not have


def _sealed(row: Mapping[str, Any]) -> bytes:
    """What a verdict's seal is made of."""
    return json.dumps(
        [row[name] for name in ("sha256", "fingerprint", "searched", "judged_at", "record")]
    ).encode()


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan; `finished_at` is None while it can be resumed."""

    scan_id: str
    target: str
    fingerprint: str
    started_at: str
    listed_at: str | None
    finished_at: str | None
    gallery_size: int


@dataclass(frozen=True, slots=True)
class Item:
    """One file of one listing on its way through a scan."""

    item_key: str
    state: str
    listing: dict[str, Any]
    file_number: int
    sha256: str | None
    triage: dict[str, Any] | None
    verdict: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """What one scan found of a file, and under which listing.

    Attributes:
        target: of the scan, as `ScanRow` has it.
        listing: as `crawlers.listing.listing_to_dict` has it.
        rows: results.
    """

    target: str
    listing: dict[str, Any]
    file_number: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at on one hub.

    Attributes:
        examined: different files with a verdict.
        unclear: different files of which nothing can be said: unreadable, unsupported, too few faces.
        first_at, last_at: when the first and the newest of those scans began, UTC.
    """

    hub: str
    examined: int
    unclear: int
    first_at: str
    last_at: str


class ScanStore:
    """The only writer of scans.db.

    Args:
        any_thread: threads take turns, under a lock of the caller's.
        seal: made with a key of the vault's; verdicts that it does not fit are not believed. Without it all are, which is
            for those who file no cases.
    """

    def __init__(self, path: Path, *, any_thread: bool = False, seal: Seal | None = None) -> None:
        self._seal = seal
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # of several first processes one makes the tables
            self._db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
            self._db.enable_wal()
            migrations.apply(self._db)
            forget_older_pages(self._db)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing; waits for other writers before it reads anything."""
        self._db.conn.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.conn.rollback()
            raise
        self._db.conn.commit()

    def sighting(self, subject: str, version: str, fingerprint: str) -> dict[str, Any] | None:
        """What was found about captured images of a subject under these settings; None if they were not judged so."""
        query = "select record from sightings where subject = ? and version = ? and fingerprint = ?"
        found = self._db.execute(query, [subject, version, fingerprint]).fetchone()
        return None if found is None else dict(json.loads(found[0]))

    def keep_sighting(
        self,
        subject: str,
        version: str,
        fingerprint: str,
        outcome: str,
        record: Mapping[str, Any],
        now: datetime,
    ) -> None:
        row = {
            "subject": subject, "version": version, "fingerprint": fingerprint, "outcome": outcome,
            "record": json.dumps(record, ensure_ascii=False), "judged_at": now.isoformat(),
        }  # fmt: skip
        with self._transaction():
            self._db.table("sightings").upsert(row, pk=("subject", "version", "fingerprint"))

    def was_searched(self, subject: str, version: str) -> bool:
        """Whether these images of a subject were searched before, for whomever."""
        query = "select 1 from sightings where subject = ? and version = ? and coalesce(record ->> '$.searched', 1) limit 1"
        return self._db.execute(query, [subject, version]).fetchone() is not None

    def is_held(self, subject: str, version: str) -> bool:
        """Whether the newest search of these images waits for a second person."""
        query = "select record ->> '$.held' from sightings where subject = ? and version = ? order by judged_at desc, rowid desc limit 1"
        found = self._db.execute(query, [subject, version]).fetchone()
        return bool(found and found[0])

    def release_of(self, subject: str, version: str) -> dict[str, Any] | None:
        """What a second person last decided about these images of a subject."""
        rows = self._db.table("releases").rows_where(
            "subject = ? and version = ?", [subject, version], order_by="rowid desc", limit=1
        )
        return next((dict(row) for row in rows), None)

    def keep_release(self, row: Mapping[str, str]) -> None:
        """Add a decision; those before it stay."""
        with self._transaction():
            self._db.table("releases").insert(dict(row))

    def held_file(self, key: str) -> dict[str, Any] | None:
        """A held file's row (scanner.scanning.held_files)."""
        return next(
            (dict(row) for row in self._db.table("held_files").rows_where("key = ?", [key])), None
        )

    def held_files(self, sha256: str | None = None) -> list[dict[str, Any]]:
        """Rows of all held files, or of those with these bytes."""
        where, values = ("1 = 1", []) if sha256 is None else ("sha256 = ?", [sha256])
        return [
            dict(row)
            for row in self._db.table("held_files").rows_where(where, values, order_by="held_at")
        ]

    def keep_held_file(self, row: Mapping[str, Any]) -> None:
        with self._transaction():
            self._db.table("held_files").upsert(dict(row), pk="key")

    def held_looks(self, key: str) -> list[dict[str, Any]]:
        """Who looked at a held file, the first first."""
        return [
            dict(row)
            for row in self._db.table("held_looks").rows_where("key = ?", [key], order_by="rowid")
        ]

    def held_looks_at(self, sha256: str) -> bool:
        """Whether anybody looked at a held file of these bytes."""
        query = "select 1 from held_looks join held_files using (key) where sha256 = ? limit 1"
        return self._db.execute(query, [sha256]).fetchone() is not None

    def keep_held_look(self, row: Mapping[str, str]) -> None:
        """Add that somebody looked; what others said stays."""
        with self._transaction():
            self._db.table("held_looks").insert(dict(row))

    def sighting_outcomes(self) -> dict[str, tuple[str, str]]:
        """What each subject of captured images last came to, and why."""
        rows = self._db.execute(
            "select subject, outcome, record ->> '$.reason' from sightings order by judged_at, rowid"
        )
        return {subject: (outcome, reason) for subject, outcome, reason in rows.fetchall()}

    def close(self) -> None:
        self._db.close()

    def coverage(self, since: str) -> list[Coverage]:
        """What was looked at since a time (ISO 8601), hub by hub, most files first."""
        unclear = "i.verdict ->> '$.rows[0].outcome' in ('failed', 'inconclusive')"
        query = (
            f"select coalesce(i.listing ->> '$.hub', '') hub, count(distinct case when not {unclear} then coalesce(i.sha256, i.item_key) end), "
            f"count(distinct case when {unclear} then coalesce(i.sha256, i.item_key) end), min(s.started_at), max(s.started_at) "
            "from items i join scans s using (scan_id) where i.verdict is not null and s.started_at >= ? "
            "group by hub order by 2 desc, hub"
        )
        return [Coverage(*row) for row in self._db.execute(query, [since]).fetchall()]

    def begin(
        self, scan_id: str, target: str, fingerprint: str, gallery_size: int, now: datetime
    ) -> ScanRow:
        """The unfinished scan of this target with this fingerprint, or a new one."""
        where = "target = ? and fingerprint = ? and finished_at is null"
        scans = self._db.table("scans")
        with self._transaction():
            for row in scans.rows_where(
                where, [target, fingerprint], order_by="started_at desc", limit=1
            ):
                return ScanRow(**row)
            scans.insert(
                {
                    "scan_id": scan_id, "target": target, "fingerprint": fingerprint, "started_at": now.isoformat(),
                    "listed_at": None, "finished_at": None, "gallery_size": gallery_size,
                }
            )  # fmt: skip
        return self.scan(scan_id)

    def scan(self, scan_id: str) -> ScanRow:
        """The scan of that id, or the newest one for "latest"; raises UnknownScan."""
        where, values = ("1 = 1", []) if scan_id == "latest" else ("scan_id = ?", [scan_id])
        for row in self._db.table("scans").rows_where(
            where, values, order_by="started_at desc", limit=1
        ):
            return ScanRow(**row)
        raise UnknownScan(
            "there is no scan yet" if scan_id == "latest" else f"no scan has the id {scan_id!r}"
        )

    def scans(self) -> Iterator[ScanRow]:
        """Every scan, oldest first."""
        for row in list(self._db.table("scans").rows_where(order_by="started_at")):
            yield ScanRow(**row)

    def add_item(
        self, scan_id: str, item_key: str, listing: Mapping[str, Any], file_number: int
    ) -> None:
        """Add a listed file; one that is already there stays as it is, unless its listing says other things by now."""
        row = {
            "scan_id": scan_id, "item_key": item_key, "state": "listed", "listing": json.dumps(listing, ensure_ascii=False),
            "file_number": file_number, "sha256": None, "triage": None, "verdict": None,
        }  # fmt: skip
        with self._transaction():
            position = self._db.execute(
                "select count(*) from items where scan_id = ?", [scan_id]
            ).fetchone()[0]
            query = "select listing from items where scan_id = ? and item_key = ?"
            known = self._db.execute(query, [scan_id, item_key]).fetchone()
            if known is not None and _said(json.loads(known[0]), file_number) != _said(
                listing, file_number
            ):
                self._db.table("items").update((scan_id, item_key), row)
            self._db.table("items").insert({**row, "position": position}, ignore=True)

    def mark_listed(self, scan_id: str, now: datetime) -> None:
        """The listing of the target is complete."""
        with self._transaction():
            self._db.table("scans").update(scan_id, {"listed_at": now.isoformat()})

    def mark_finished(self, scan_id: str, now: datetime) -> None:
        """Every item is judged and the report is written."""
        with self._transaction():
            self._db.table("scans").update(scan_id, {"finished_at": now.isoformat()})

    def move(self, scan_id: str, item_key: str, state: str, **fields: Any) -> None:
        """Move an item to its next state together with what that step found out."""
        plain = {
            name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            for name, value in fields.items()
        }
        with self._transaction():
            self._db.table("items").update((scan_id, item_key), {"state": state, **plain})

    def items(self, scan_id: str) -> Iterator[Item]:
        """All items of a scan in the order they were listed."""
        for row in list(
            self._db.table("items").rows_where("scan_id = ?", [scan_id], order_by="position")
        ):
            yield Item(
                item_key=row["item_key"],
                state=row["state"],
                listing=json.loads(row["listing"]),
                file_number=row["file_number"],
                sha256=row["sha256"],
                triage=json.loads(row["triage"]) if row["triage"] else None,
                verdict=json.loads(row["verdict"]) if row["verdict"] else None,
            )

    def judged(self, sha256: str, fingerprint: str) -> list[JudgedItem]:
        """What was found of these bytes under these settings and this gallery, listing by listing, the newest first."""
        query = (
            "select s.target, i.listing, i.file_number, i.verdict from items i join scans s using (scan_id) "
            "where i.sha256 = ? and i.state = 'judged' and s.fingerprint = ? order by i.rowid desc"
        )
        return [
            JudgedItem(
                row["target"],
                json.loads(row["listing"]),
                row["file_number"],
                list(json.loads(row["verdict"])["rows"]),
            )
            for row in self._db.query(query, [sha256, fingerprint])
        ]

    def known_verdict(self, sha256: str, fingerprint: str) -> dict[str, Any] | None:
        """What was found for these bytes under that name of settings, gallery and questions, if they were judged so."""
        found = self._believed("sha256 = ? and fingerprint = ?", [sha256, fingerprint])
        return found[0] if found else None

    def other_verdicts(self, sha256: str, searched: str) -> list[dict[str, Any]]:
        """What was found for these bytes, whatever was asked, under settings and gallery of that fingerprint."""
        return self._believed("sha256 = ? and searched = ?", [sha256, searched])

    def _believed(self, where: str, values: list[str]) -> list[dict[str, Any]]:
        """Records of verdicts that are as this program wrote them; the others are judged anew."""
        found = []
        for row in self._db.table("verdicts").rows_where(where, values):
            if self._seal is not None and not hmac.compare_digest(
                row["seal"] or "", self._seal(_sealed(row))
            ):
                if row["seal"] is not None:  # none have those of earlier versions
                    log.error(
                        "a verdict on %s in scans.db was changed outside this program; it is judged anew",
                        row["sha256"],
                    )
                continue
            found.append(dict(json.loads(row["record"])))
        return found

    def remember_verdict(
        self,
        sha256: str,
        fingerprint: str,
        record: Mapping[str, Any],
        now: datetime,
        searched: str | None = None,
    ) -> None:
        """Keep a verdict for the next time the same bytes turn up, and how every sample of it was made and scored.

        Args:
            fingerprint: names settings, gallery and questions.
            searched: names settings and gallery alone.
        """
        plain = {name: value for name, value in record.items() if name != "all_samples"}
        row = {
            "sha256": sha256, "fingerprint": fingerprint, "record": json.dumps(plain, ensure_ascii=False),
            "judged_at": now.isoformat(), "searched": searched,
        }  # fmt: skip
        row["seal"] = self._seal(_sealed(row)) if self._seal is not None else None
        samples = [
            {"sha256": sha256, "fingerprint": fingerprint, **one}
            for one in record.get("all_samples", [])
        ]
        with self._transaction():
            self._db.table("verdicts").upsert(row, pk=("sha256", "fingerprint"))
            self._db.table("samples").delete_where(
                "sha256 = ? and fingerprint = ?", [sha256, fingerprint]
            )
            self._db.table("samples").insert_all(samples)

    def samples(self, sha256: str, fingerprint: str | None = None) -> list[dict[str, Any]]:
        """How every sample of these bytes was made and scored, of one verdict or of all."""
        where, values = "sha256 = ?", [sha256]
        if fingerprint is not None:
            where, values = "sha256 = ? and fingerprint = ?", [sha256, fingerprint]
        return [
            dict(row)
            for row in self._db.table("samples").rows_where(
                where, values, order_by="fingerprint, stage desc, number"
            )
        ]

    def known_triage(self, sha256: str) -> dict[str, Any] | None:
        """What the header of these bytes told, if they were here before."""
        for row in self._db.table("triages").rows_where("sha256 = ?", [sha256], limit=1):
            return dict(json.loads(row["record"]))
        return None

    def remember_triage(self, sha256: str, record: Mapping[str, Any], now: datetime) -> None:
        """Keep what a header told for the next time that a hub names the same bytes."""
        row = {
            "sha256": sha256,
            "record": json.dumps(record, ensure_ascii=False),
            "triaged_at": now.isoformat(),
        }
        with self._transaction():
            self._db.table("triages").upsert(row, pk="sha256")


def _said(listing: Mapping[str, Any], file_number: int) -> list[Any]:
    """What of a listing decides how its file is judged and filed; counters and addresses move without anybody's doing."""
    told = [
        listing.get(name)
        for name in ("title", "creator", "base_model", "minor_flag", "real_person_flag")
    ]
    words = [list(listing.get(name) or ()) for name in ("triggers", "tags")]
    file = listing["files"][file_number]
    return [*told, *words, file["name"], file.get("sha256"), file.get("size_bytes")]
