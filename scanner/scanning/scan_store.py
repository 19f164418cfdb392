"""scans.db: scans, the state of every item, verdicts. It holds no face vector and no person's name.

The state of an item moves from listed to fetched, triaged and judged. Each move is one transaction,
so a killed scan repeats at most the step that was under way.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from crawlers.listing import Listing, listing_from_dict, listing_to_dict
from scanner.databases import transaction
from scanner.errors import UnknownScan
from scanner.records import ResultRow, SampleRow, VerdictRecord
from scanner.scanning.capture_verdict_store import CaptureVerdictStore
from scanner.scanning.held_file_store import HeldFileStore
from scanner.scanning.key import Key
from scanner.scanning.scan_schema import open_scans_db
from scanner.scanning.searched_file_store import (
    Searched,
    SearchedFileStore,
    rows_in,
    rows_record,
)
from scanner.scanning.verdict_table import VerdictTable
from scanner.triage.header import Triage, triage_from_dict

log = logging.getLogger(__name__)

# A message authentication code under a key of the vault. Write access to scans.db is not enough to
# compute it.
Seal = Callable[[bytes], str]

_SEALED_COLUMNS = ("sha256", "fingerprint", "searched", "judged_at", "record")


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan; `finished_at` is None while it can be resumed.

    Attributes:
        fingerprint: the search key of its settings and gallery (scanner.scanning.keys).
    """

    scan_id: str
    target: str
    fingerprint: str
    started_at: str
    listed_at: str | None
    finished_at: str | None
    gallery_size: int


@dataclass(frozen=True, slots=True)
class Item:
    """One file of one listing in a scan.

    Attributes:
        state: "listed", "fetched", "triaged" or "judged".
        rows: results; None before the state is "judged".
    """

    item_key: str
    state: str
    listing: Listing
    file_number: int
    sha256: str | None
    rows: tuple[ResultRow, ...] | None


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
class Coverage:
    """Numbers of examined files on one hub.

    Attributes:
        examined: number of different files with a verdict.
        unclear: number of different files that are failed or inconclusive.
        first_at, last_at: start of the first and of the newest of those scans, UTC.
    """

    hub: str
    examined: int
    unclear: int
    first_at: str
    last_at: str


class ScanStore:
    """The only writer of scans.db.

    Args:
        any_thread: whether several threads use the store; the caller must hold a lock.
        seal: computes the code of a verdict; stored verdicts with another code are ignored. None
            accepts all verdicts, for callers that file no cases.

    Attributes:
        captures: verdicts on captured images.
        held: files that name a registered minor.
        searched: files whose results hold for a newer gallery too.
        table: the results of all scans.
    """

    def __init__(self, path: Path, *, any_thread: bool = False, seal: Seal | None = None) -> None:
        self._seal = seal
        self._db = open_scans_db(path, any_thread=any_thread)
        self.captures = CaptureVerdictStore(self._db)
        self.held = HeldFileStore(self._db)
        self.searched = SearchedFileStore(self._db)
        self.table = VerdictTable(self._db)

    def close(self) -> None:
        self._db.close()

    def coverage(self, since: str) -> list[Coverage]:
        """Return the coverage since a time (ISO 8601) by hub, the hub with most files first."""
        unclear = "i.verdict ->> '$.rows[0].outcome' in ('failed', 'inconclusive')"
        file = "coalesce(i.sha256, i.item_key)"
        query = (
            "select coalesce(i.listing ->> '$.hub', '') hub, "
            f"count(distinct case when not {unclear} then {file} end), "
            f"count(distinct case when {unclear} then {file} end), "
            "min(s.started_at), max(s.started_at) "
            "from items i join scans s using (scan_id) "
            "where i.verdict is not null and max(s.started_at, coalesce(i.searched_at, '')) "
            ">= :since "
            "group by hub order by 2 desc, hub"
        )
        rows = self._db.execute(query, {"since": since}).fetchall()
        return [Coverage(*row) for row in rows]

    def begin(
        self, scan_id: str, target: str, search_key: str, gallery_size: int, now: datetime
    ) -> ScanRow:
        """Return the unfinished scan of this target under this key, or begin a new one."""
        where = "target = ? and fingerprint = ? and finished_at is null"
        scans = self._db.table("scans")
        with transaction(self._db):
            for row in scans.rows_where(
                where, [target, search_key], order_by="started_at desc", limit=1
            ):
                return ScanRow(**row)
            scan = ScanRow(scan_id, target, search_key, now.isoformat(), None, None, gallery_size)
            scans.insert(asdict(scan))
        return scan

    def scan(self, scan_id: str) -> ScanRow:
        """Return the scan with that id, or the newest one for "latest"; raises UnknownScan."""
        where, values = ("1 = 1", []) if scan_id == "latest" else ("scan_id = ?", [scan_id])
        for row in self._db.table("scans").rows_where(
            where, values, order_by="started_at desc", limit=1
        ):
            return ScanRow(**row)
        raise UnknownScan(
            "there is no scan yet" if scan_id == "latest" else f"no scan has the id {scan_id!r}"
        )

    def add_item(self, scan_id: str, item_key: str, listing: Listing, file_number: int) -> None:
        """Add a listed file; a known one stays unchanged unless deciding facts changed."""
        record = listing_to_dict(listing)
        row = {
            "scan_id": scan_id,
            "item_key": item_key,
            "state": "listed",
            "listing": json.dumps(record, ensure_ascii=False),
            "file_number": file_number,
            "sha256": None,
            "triage": None,
            "verdict": None,
        }
        with transaction(self._db):
            last = "select max(position) from items where scan_id = ?"
            position = (self._db.execute(last, [scan_id]).fetchone()[0] or 0) + 1
            query = "select listing from items where scan_id = ? and item_key = ?"
            known = self._db.execute(query, [scan_id, item_key]).fetchone()
            if known is not None and (
                _deciding_facts(json.loads(known[0]), file_number)
                != _deciding_facts(record, file_number)
            ):
                self._db.table("items").update((scan_id, item_key), row)
            self._db.table("items").insert({**row, "position": position}, ignore=True)

    def mark_listed(self, scan_id: str, now: datetime) -> None:
        """Note that the listing of the target is complete."""
        with transaction(self._db):
            self._db.table("scans").update(scan_id, {"listed_at": now.isoformat()})

    def mark_finished(self, scan_id: str, now: datetime) -> None:
        """Note that every item is judged."""
        with transaction(self._db):
            self._db.table("scans").update(scan_id, {"finished_at": now.isoformat()})

    def note_fetched(self, scan_id: str, item_key: str, sha256: str | None) -> None:
        """Move an item to `fetched`."""
        self._move(scan_id, item_key, {"state": "fetched", "sha256": sha256})

    def note_known(self, scan_id: str, item_key: str, sha256: str | None) -> None:
        """Move an item to `triaged` without fetching it: its bytes were triaged before."""
        self._move(scan_id, item_key, {"state": "triaged", "sha256": sha256})

    def note_triaged(self, scan_id: str, item_key: str, triage: Triage) -> None:
        """Move an item to `triaged`."""
        record = json.dumps(asdict(triage), ensure_ascii=False)
        self._move(scan_id, item_key, {"state": "triaged", "triage": record})

    def note_judged(
        self,
        scan_id: str,
        item_key: str,
        rows: Sequence[ResultRow],
        searched: Searched,
        now: datetime,
    ) -> None:
        """Move an item to `judged`, with its results and the gallery for which they hold."""
        record = {
            "state": "judged",
            "verdict": json.dumps(rows_record(rows), ensure_ascii=False),
            "search_key": searched.search_key,
            "settings_key": searched.settings_key,
            "sampling_keys": json.dumps(searched.sampling_keys),
            "searched_at": now.isoformat(),
        }
        self._move(scan_id, item_key, record)

    def _move(self, scan_id: str, item_key: str, fields: Mapping[str, str | None]) -> None:
        with transaction(self._db):
            self._db.table("items").update((scan_id, item_key), dict(fields))

    def items(self, scan_id: str) -> Iterator[Item]:
        """Yield all items of a scan in the order of the listing."""
        rows = self._db.table("items").rows_where("scan_id = ?", [scan_id], order_by="position")
        for row in list(rows):
            yield Item(
                row["item_key"],
                row["state"],
                listing_from_dict(json.loads(row["listing"])),
                row["file_number"],
                row["sha256"],
                rows_in(row["verdict"]) if row["verdict"] else None,
            )

    def judged(self, sha256: str, search_key: str | None = None) -> list[JudgedItem]:
        """Return results for these bytes, with a key those under it; the newest listing first."""
        query = (
            "select s.target, i.listing, i.file_number, i.verdict "
            "from items i join scans s using (scan_id) "
            "where i.sha256 = :sha256 and i.state = 'judged' "
            "and (:key is null or i.search_key = :key) order by i.rowid desc"
        )
        return [
            JudgedItem(
                row["target"],
                listing_from_dict(json.loads(row["listing"])),
                row["file_number"],
                rows_in(row["verdict"]),
            )
            for row in self._db.query(query, {"sha256": sha256, "key": search_key})
        ]

    def known_verdict(self, sha256: str, verdict_key: str) -> VerdictRecord | None:
        """Return the verdict on these bytes under that key; None if there is none."""
        found = self._authentic("sha256 = ? and fingerprint = ?", [sha256, verdict_key])
        return found[0] if found else None

    def identification_parts(self, sha256: str) -> dict[str, Any] | None:
        """Return the parts of the key of the newest verdict on these bytes; None without one."""
        rows = self._db.table("verdicts").rows_where(
            "sha256 = ? and parts is not null", [sha256], order_by="judged_at desc", limit=1
        )
        return next((json.loads(row["parts"]) for row in rows), None)

    def has_verdict(self, sha256: str) -> bool:
        """Whether any verdict on these bytes is stored."""
        return self._db.table("verdicts").count_where("sha256 = ?", [sha256]) > 0

    def other_verdicts(self, sha256: str, search_key: str) -> list[VerdictRecord]:
        """Return all verdicts on these bytes under a search key, for any prompts."""
        return self._authentic("sha256 = ? and searched = ?", [sha256, search_key])

    def _authentic(self, where: str, values: list[str]) -> list[VerdictRecord]:
        """Return the verdicts whose seal is valid; files of the others are examined again."""
        found = []
        for row in self._db.table("verdicts").rows_where(where, values):
            if self._seal is not None and not hmac.compare_digest(
                row["seal"] or "", self._seal(_sealed_bytes(row))
            ):
                if row["seal"] is not None:  # verdicts of earlier versions have none
                    log.error(
                        "a verdict on %s in scans.db was changed outside this program; "
                        "it is judged anew",
                        row["sha256"],
                    )
                continue
            found.append(VerdictRecord.from_json(json.loads(row["record"])))
        return found

    def remember_verdict(
        self,
        sha256: str,
        key: Key,
        verdict: VerdictRecord,
        now: datetime,
        search_key: str | None = None,
    ) -> None:
        """Store a verdict with all its samples, for the next scan of the same bytes.

        Args:
            key: identification key.
            search_key: digest of the key of settings and gallery.
        """
        verdict_key = key.digest
        row = {
            "sha256": sha256,
            "fingerprint": verdict_key,
            "record": json.dumps(verdict.to_json(), ensure_ascii=False),
            "judged_at": now.isoformat(),
            "searched": search_key,
            "parts": json.dumps(key.parts, ensure_ascii=False, sort_keys=True),
        }
        row["seal"] = self._seal(_sealed_bytes(row)) if self._seal is not None else None
        samples = [
            {"sha256": sha256, "fingerprint": verdict_key, **asdict(sample)}
            for sample in verdict.all_samples
        ]
        with transaction(self._db):
            self._db.table("verdicts").upsert(row, pk=("sha256", "fingerprint"))
            self._db.table("samples").delete_where(
                "sha256 = ? and fingerprint = ?", [sha256, verdict_key]
            )
            self._db.table("samples").insert_all(samples)

    def samples(self, sha256: str, verdict_key: str | None = None) -> list[SampleRow]:
        """Return the samples of these bytes, of one verdict or of all."""
        where, values = "sha256 = ?", [sha256]
        if verdict_key is not None:
            where, values = "sha256 = ? and fingerprint = ?", [sha256, verdict_key]
        rows = self._db.table("samples").rows_where(
            where, values, order_by="fingerprint, stage desc, number"
        )
        names = [column.name for column in fields(SampleRow)]
        return [SampleRow(**{name: row[name] for name in names}) for row in rows]

    def known_triage(self, sha256: str) -> Triage | None:
        """Return the triage of these bytes; None if none is stored.

        Earlier versions did not record unknown tensors ("leftovers"); their records do not count.
        """
        for row in self._db.table("triages").rows_where("sha256 = ?", [sha256], limit=1):
            record = json.loads(row["record"])
            return triage_from_dict(record) if "leftovers" in record else None
        return None

    def remember_triage(self, triage: Triage, now: datetime) -> None:
        """Store the triage of a file, for the next listing with the same SHA-256."""
        row = {
            "sha256": triage.sha256 or "",
            "record": json.dumps(asdict(triage), ensure_ascii=False),
            "triaged_at": now.isoformat(),
        }
        with transaction(self._db):
            self._db.table("triages").upsert(row, pk="sha256")


def _sealed_bytes(row: Mapping[str, Any]) -> bytes:
    """Return the bytes over which a verdict's seal is computed."""
    return json.dumps([row[name] for name in _SEALED_COLUMNS]).encode()


def _deciding_facts(listing: Mapping[str, Any], file_number: int) -> list[Any]:
    """Return the facts of a listing that affect verdict and case: no counters and no addresses."""
    names = ("title", "creator", "base_model", "minor_flag", "real_person_flag")
    facts = [listing.get(name) for name in names]
    words = [list(listing.get(name) or ()) for name in ("triggers", "tags")]
    file = listing["files"][file_number]
    return [*facts, *words, file["name"], file.get("sha256"), file.get("size_bytes")]
