"""scans.db: scans, the state of every item, verdicts. It holds no face vector and no person's name.

The state of an item moves from listed to fetched, triaged and judged. Each move is one transaction,
so a killed scan repeats at most the step that was under way.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from scanner.databases import transaction
from scanner.errors import UnknownScan
from scanner.finding_records import SampleRow
from scanner.records import VerdictRecord
from scanner.scanning.capture_verdict_store import CaptureVerdictStore
from scanner.scanning.coverage import CoverageCounters
from scanner.scanning.held_file_store import HeldFileStore
from scanner.scanning.impostor_store import ImpostorStore
from scanner.scanning.item_store import ItemStore, ScanRow
from scanner.scanning.key import Key
from scanner.scanning.scan_rows import ScanRows
from scanner.scanning.scan_schema import open_scans_db
from scanner.scanning.searched_file_store import SearchedFileStore
from scanner.scanning.verdict_table import VerdictTable
from scanner.triage.header import Triage, triage_from_dict

log = logging.getLogger(__name__)

# A message authentication code under a key of the vault. Write access to scans.db is not enough to
# compute it.
Seal = Callable[[bytes], str]

_SEALED_COLUMNS = ("sha256", "fingerprint", "searched", "judged_at", "record")


class ScanStore:
    """The only writer of scans.db.

    Args:
        any_thread: whether several threads use the store; the caller must hold a lock.
        seal: computes the code of a verdict; stored verdicts with another code are ignored. None
            accepts all verdicts, for callers that file no cases.

    Attributes:
        captures: verdicts on captured images.
        held: files that name a registered minor.
        items: listed files with their results.
        rows: the results of one scan.
        searched: files whose results hold for a newer gallery too.
        table: the results of all scans.
        coverage: how many files were examined since a time.
        impostors: counts of the scores of files that show nobody.
    """

    def __init__(self, path: Path, *, any_thread: bool = False, seal: Seal | None = None) -> None:
        self._seal, self._path = seal, path
        self._scanning: set[str] = set()
        self._db = open_scans_db(path, any_thread=any_thread)
        self.captures = CaptureVerdictStore(self._db)
        self.held = HeldFileStore(self._db)
        self.items = ItemStore(self._db)
        self.rows = ScanRows(self._db)
        self.searched = SearchedFileStore(self._db)
        self.table = VerdictTable(self._db)
        self.coverage = CoverageCounters(self._db)
        self.impostors = ImpostorStore(self._db)

    def close(self) -> None:
        self._db.close()

    @cached_property
    def installation_id(self) -> str:
        """16 hex digits, chosen at random when they are first needed; they are not secret.

        Prompts and seeds of samples follow from them.
        """
        with transaction(self._db):
            self._db.execute(
                "insert or ignore into installation values (1, ?)", [secrets.token_hex(8)]
            )
        query = "select installation_id from installation"
        return str(self._db.execute(query).fetchone()[0])

    def begin(
        self, scan_id: str, target: str, search_key: str, gallery_size: int, now: datetime
    ) -> ScanRow:
        """Return the newest scan of this target if it is unfinished and has this key, or begin one.

        Scans of one target follow each other (`alone_with`), and an older one does not go on once
        another has begun.
        """
        scans = self._db.table("scans")
        with transaction(self._db):
            if (unfinished := self.unfinished(target, search_key)) is not None:
                return unfinished
            query = "select coalesce(max(number), 0) + 1 from scans"
            number = self._db.execute(query).fetchone()[0]
            begun = (scan_id, target, search_key, now.isoformat())
            scan = ScanRow(*begun, None, None, gallery_size, number)
            scans.insert(asdict(scan))
        return scan

    def unfinished(self, target: str, search_key: str) -> ScanRow | None:
        """Return the newest scan of a target if it is unfinished and has this key."""
        where = (
            "target = ? and fingerprint = ? and finished_at is null "
            "and number = (select max(number) from scans s where s.target = scans.target)"
        )
        rows = self._db.table("scans").rows_where(where, [target, search_key], limit=1)
        return next((ScanRow(**row) for row in rows), None)

    @contextmanager
    def alone_with(self, target: str) -> Iterator[None]:
        """Keep other processes from scanning the same target; waits for one that does.

        A search in the midst of a scan may scan a file of the same target.
        """
        if target in self._scanning:
            yield
            return
        locks = self._path.with_name(f"{self._path.name}.locks")
        locks.mkdir(exist_ok=True)
        lock = FileLock(locks / hashlib.sha256(target.encode()).hexdigest()[:16])
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process scans %s; this scan waits for it", target[:200])
            lock.acquire()
        self._scanning.add(target)
        try:
            yield
        finally:
            self._scanning.discard(target)
            lock.release()

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

    def mark_listed(self, scan_id: str, now: datetime) -> None:
        """Note that the listing of the target is complete."""
        with transaction(self._db):
            self._db.table("scans").update(scan_id, {"listed_at": now.isoformat()})

    def mark_finished(self, scan_id: str, now: datetime, gallery_version: int) -> None:
        """Note that every item is judged.

        Args:
            gallery_version: of the newest gallery that was searched.
        """
        finished = {"finished_at": now.isoformat(), "gallery_version": gallery_version}
        with transaction(self._db):
            self._db.table("scans").update(scan_id, finished)

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

    def has_finding(self, sha256: str, search_key: str) -> bool:
        """Whether a verdict on these bytes under a search key names somebody, for any prompts."""
        where = "sha256 = ? and searched = ? and json_array_length(record, '$.findings') > 0"
        return self._db.table("verdicts").count_where(where, [sha256, search_key]) > 0

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
            {
                "sha256": sha256,
                "fingerprint": verdict_key,
                **asdict(sample),
                "companions": json.dumps(sample.companions),
            }
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
        return [
            SampleRow(
                **{name: row[name] for name in names if name not in ("size_share", "companions")},
                size_share=1.0 if row["size_share"] is None else row["size_share"],
                companions=tuple(json.loads(row["companions"] or "[]")),
            )
            for row in rows
        ]

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
