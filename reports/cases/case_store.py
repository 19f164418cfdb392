"""cases.db: the cases, what was decided about them, and the evidence that they name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlite_utils import Database

from reports.cases.case import Case, Entry, case_from_dict, case_to_dict
from reports.cases.case_list import CaseLists
from reports.cases.case_log import CaseLog
from reports.cases.case_summary import Standing
from reports.cases.case_tables import columns_of, migrations
from reports.cases.copies import CopyRecord, copy_details
from reports.cases.evidence_files import EvidenceFiles
from reports.cases.listings import ListingRecord, listing_details
from reports.cases.record_seals import Mac, RecordSeal, RecordSeals
from reports.cases.review import CaseStatus, is_confirmed, status_of, successor_of
from reports.errors import CaseAltered, CasesLost, UnknownCase

# One JSON parameter for any number of ids: SQLite limits the number of parameters.
_AMONG = "case_id in (select value from json_each(?))"
_SHORTEST_PREFIX = 6


class CaseStore:
    """The only writer of cases.db and of the evidence folder.

    Args:
        mac: seals what is written (reports.cases.record_seals); None for reading only.
        any_thread: threads may share the store; the caller locks it.

    Attributes:
        lists: lists of cases, a page at a time.
        notices: where each notice stands.

    Raises:
        CasesLost: cases.db is empty, as a crashed machine leaves it.
    """

    def __init__(
        self, path: Path, evidence: Path, mac: Mac | None = None, *, any_thread: bool = False
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._evidence = EvidenceFiles(evidence)
        # The lock makes one of several processes that start together create the tables.
        with FileLock(path.with_suffix(".lock")):
            was_emptied = path.exists() and path.stat().st_size == 0
            if was_emptied and not self._evidence.is_empty:
                raise CasesLost(str(path))
            self._db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
            self._db.enable_wal()
            migrations.apply(self._db)
        self._seals = RecordSeals(self._db, mac)
        self._log = CaseLog(self._db)
        self.lists, self.notices = CaseLists(self._db, self._log), self._log.notices

    def close(self) -> None:
        self._db.close()

    # Evidence

    def keep(self, data: bytes, suffix: str = "png") -> str:
        """Store a file's bytes under their SHA-256 and return that, lower-case hex."""
        return self._evidence.keep(data, suffix)

    def kept(self, sha256: str, suffix: str = "png") -> bytes:
        """The bytes of a stored file; raises EvidenceAltered if they were changed."""
        return self._evidence.kept(sha256, suffix)

    # Writing

    def open(
        self, case: Case, also: Sequence[tuple[str, Entry]] = (), unless_changed: Case | None = None
    ) -> bool:
        """File a case; True if it is new. Filing the same case again changes nothing.

        Args:
            also: entries for the logs of cases, by case id, written together with a new case.
            unless_changed: a case as it was read; nothing is filed if its log has grown since.
        """
        with self._transaction():
            if unless_changed is not None and self._has_changed(unless_changed):
                return False
            record = json.dumps(case_to_dict(case), ensure_ascii=False, sort_keys=True)
            self._db.table("cases").insert(
                {"case_id": case.case_id, **columns_of(case), "record": record}, ignore=True
            )
            is_new = bool(self._db.execute("select changes()").fetchone()[0])
            self.lists.add(case)
            if is_new:
                self._add_entries(case.case_id, also)
        return is_new

    def attach(self, case_id: str, listing: ListingRecord, actor: str, now: datetime) -> bool:
        """Add another listing of a case's weights to its log, each once; True if it is new."""
        entry = Entry(0, now.isoformat(), "listing", actor, dict(listing_details(listing)))
        with self._changing(case_id):
            return self._log.add_listing(case_id, entry)

    def attach_copy(self, case_id: str, copy: CopyRecord, actor: str, now: datetime) -> bool:
        """Add a related file of other bytes to a case's log, each place once; True if it is new."""
        entry = Entry(0, now.isoformat(), "copy", actor, copy_details(copy))
        with self._changing(case_id):
            return self._log.add_listing(case_id, entry)

    def add(
        self, case_id: str, kind: str, actor: str, now: datetime, details: dict[str, Any]
    ) -> Entry:
        """Add an entry to a case's log.

        Raises:
            CaseAltered: the case was changed outside this program; nothing is written.
        """
        entry = Entry(0, now.isoformat(), kind, actor, details)
        # A working note is no part of the record.
        with self._transaction() if kind == "note" else self._changing(case_id):
            return self._log.add(case_id, entry)

    # Seals

    def vouched(self, case_id: str) -> tuple[Case, RecordSeal | None, str | None]:
        """A case, its seal, and what is wrong with the case according to the seal.

        Raises:
            UnknownCase: no case has that id.
            CaseAltered: its record cannot be read.
        """
        self._db.conn.execute("begin deferred")
        try:
            if (row := self._row(case_id)) is None:
                raise UnknownCase(case_id)
            case, seal = self._case_of(row), self._seals.of(case_id)
            return case, seal, self._fault(row, case, seal)
        finally:
            self._db.conn.rollback()

    def identity_of(self, case_id: str) -> str:
        """Id of the person that a case is about; raises UnknownCase."""
        query = "select identity_id from cases where case_id = ?"
        if (row := self._db.execute(query, [case_id]).fetchone()) is None:
            raise UnknownCase(case_id)
        return str(row[0])

    def seal_of(self, case_id: str) -> RecordSeal | None:
        """The newest seal of a case."""
        return self._seals.of(case_id)

    def seal_unsealed(self) -> None:
        """Seal, as they are, the cases that an earlier version of the program wrote."""
        query = "select case_id from cases where case_id not in (select case_id from seals)"
        for (case_id,) in self._db.execute(query).fetchall():
            # A record that cannot be read stays without a seal.
            with suppress(CaseAltered), self._transaction():
                self._seal(case_id)

    def seal_again(self, case_id: str, version: int) -> None:
        """Seal a case that an older copy brought back, under a new version.

        Raises:
            CaseAltered: the case never was as it is.
        """
        with self._transaction():
            self._require_sealed(case_id)
            self._seal(case_id, version)

    # Reading

    def case_ids(self) -> list[str]:
        """Ids of all cases, oldest first."""
        query = "select case_id from cases order by opened_at, case_id"
        return [row[0] for row in self._db.execute(query).fetchall()]

    def case(self, case_id: str) -> Case:
        """The case of that id, or of the only id that begins so; raises UnknownCase."""
        if (row := self._row(case_id)) is not None:
            return self._case_of(row)
        # GLOB finds the beginning by the index, and LIKE would read every case.
        beginnings = [_beginning(case_id), _beginning(case_id.lower())]
        found = list(
            self._db.table("cases").rows_where("case_id glob ? or case_id glob ?", beginnings)
        )
        if len(found) != 1:
            raise UnknownCase(case_id)
        return self._case_of(found[0])

    def cases(self, identity_id: str | None = None) -> Iterator[Case]:
        """All cases, oldest first, or those of one identity."""
        where, values = ("1 = 1", []) if identity_id is None else ("identity_id = ?", [identity_id])
        rows = self._db.table("cases").rows_where(where, values, order_by="opened_at, case_id")
        yield from map(self._case_of, list(rows))

    def named(self, case_ids: Iterable[str]) -> list[Case]:
        """The cases of these ids, matches first, then by score."""
        rows = list(self._db.table("cases").rows_where(_AMONG, [json.dumps(list(case_ids))]))
        return sorted(
            map(self._case_of, rows), key=lambda case: (case.outcome != "match", -case.score)
        )

    def of_weights(self, identity_id: str, weights: str) -> list[Case]:
        """The cases about one person and these weights, in the order they were opened.

        Args:
            weights: as `reports.cases.case_summary.weights_of` gives it.
        """
        query = "case_id in (select case_id from summaries where identity_id = ? and weights = ?)"
        rows = self._db.table("cases").rows_where(query, [identity_id, weights], order_by="rowid")
        return [self._case_of(row) for row in list(rows)]

    def confirmed_about(self, weights: str) -> list[Case]:
        """The confirmed cases about these weights, in the order of opening."""
        query = "case_id in (select case_id from summaries where weights = ? and status in (?, ?))"
        values = [weights, str(CaseStatus.CONFIRMED), str(CaseStatus.APPEALED)]
        rows = self._db.table("cases").rows_where(query, values, order_by="rowid")
        cases = [self._case_of(row) for row in list(rows)]
        return [case for case in cases if is_confirmed(case.entries)]

    def confirmed_files(self) -> list[tuple[str, str]]:
        """Case id and SHA-256 of the file of every confirmed case about a file."""
        query = (
            "select case_id, sha256 from summaries "
            "where status in (?, ?) and weights is not null order by rowid"
        )
        values = [str(CaseStatus.CONFIRMED), str(CaseStatus.APPEALED)]
        return [(row[0], row[1]) for row in self._db.execute(query, values)]

    def case_of_file(self, sha256: str, weights: str | None) -> str | None:
        """Id of the newest case about a file or its weights, confirmed ones first.

        Cases that another one superseded are left out.
        """
        query = (
            "select case_id from summaries where (sha256 = ? or weights = ?) and status != ? "
            "order by status in (?, ?) desc, opened_at desc limit 1"
        )
        superseded, confirmed = str(CaseStatus.SUPERSEDED), str(CaseStatus.CONFIRMED)
        values = [sha256, weights, superseded, confirmed, str(CaseStatus.APPEALED)]
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None

    def standing_about(self, weights: str) -> list[Case]:
        """The cases about these weights that nobody rejected, authorised or superseded."""
        among = "select case_id from summaries where weights = ? and status not in (?, ?, ?)"
        settled = (CaseStatus.REJECTED, CaseStatus.AUTHORISED, CaseStatus.SUPERSEDED)
        rows = self._db.table("cases").rows_where(
            f"case_id in ({among})", [weights, *map(str, settled)], order_by="rowid"
        )
        return [self._case_of(row) for row in list(rows)]

    def resting_on(self, capture_id: str) -> list[Case]:
        """The cases that use a capture."""
        query = "case_id in (select case_id from case_captures where capture_id = ?)"
        rows = self._db.table("cases").rows_where(query, [capture_id], order_by="rowid")
        return [self._case_of(row) for row in list(rows)]

    def cases_by_capture(self, capture_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Ids of the cases that use each of these captures, oldest first."""
        query = (
            "select capture_id, case_id from case_captures join cases using (case_id) "
            "where capture_id in (select value from json_each(?)) order by opened_at, case_id"
        )
        found: dict[str, tuple[str, ...]] = {}
        for capture_id, case_id in self._db.execute(query, [json.dumps(list(capture_ids))]):
            found[capture_id] = (*found.get(capture_id, ()), case_id)
        return found

    def cited_checkpoints(self) -> frozenset[str]:
        """SHA-256 of every checkpoint that a case is about."""
        rows = self._db.execute("select distinct checkpoint_sha256 from cases").fetchall()
        return frozenset(row[0] for row in rows)

    def entries(self, case_id: str) -> tuple[Entry, ...]:
        """A case's log in order."""
        return self._log.of_case(case_id)

    def all_entries(self, kind: str, month: str) -> Iterator[tuple[str, Entry]]:
        """Case id and entry of every entry of that kind that was added in a month, in order.

        Args:
            month: YYYY-MM; empty for every entry.
        """
        return self._log.of_all_cases(kind, month)

    def confirmations(self, reason: str) -> list[tuple[str, str]]:
        """Case id and reviewer of every confirmation with this reason, however it is spelt."""
        return self._log.confirmations(reason)

    def standings(self, case_ids: Iterable[str]) -> dict[str, Standing]:
        """Where each of these cases stands; no record is read whole. Unknown ids are left out.

        A superseded case stands where the case that took its place does.
        """
        query = f"select case_id, json_extract(record, '$.identity_name') from cases where {_AMONG}"
        rows = self._db.execute(query, [json.dumps(list(case_ids))]).fetchall()
        return {case_id: self._standing(case_id, name) for case_id, name in rows}

    def _standing(self, case_id: str, name: str) -> Standing:
        entries, seen = self.entries(case_id), {case_id}
        while (successor := successor_of(entries)) is not None and successor not in seen:
            seen.add(successor)
            case_id, entries = successor, self.entries(successor)
        return Standing(case_id, status_of(entries), name, is_confirmed(entries))

    def _row(self, case_id: str) -> dict[str, Any] | None:
        return next(iter(self._db.table("cases").rows_where("case_id = ?", [case_id])), None)

    def _case_of(self, row: dict[str, Any]) -> Case:
        try:
            case = case_from_dict(json.loads(row["record"]))
            entries = self.entries(case.case_id)
            return replace(case, entries=entries, status=status_of(entries))
        except (ValueError, KeyError) as error:
            fault = f"its record cannot be read ({type(error).__name__})"
            raise CaseAltered(row["case_id"], fault) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write everything inside or nothing; other writers are waited for before any reading."""
        self._db.conn.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.conn.rollback()
            raise
        self._db.conn.commit()

    @contextmanager
    def _changing(self, case_id: str) -> Iterator[None]:
        """A transaction that seals the case anew.

        Raises:
            CaseAltered: the case is not as it was sealed; nothing is written.
        """
        with self._transaction():
            self._require_sealed(case_id)
            yield
            self._seal(case_id)

    def _add_entries(self, case_id: str, also: Sequence[tuple[str, Entry]]) -> None:
        """Add entries beside a new case, and seal it and the cases that they belong to."""
        others = {other for other, _ in also} - {case_id}
        for other in others:
            self._require_sealed(other)
        for other, entry in also:
            self._log.add(other, entry)
        for changed in (case_id, *others):
            self._seal(changed)

    def _has_changed(self, case: Case) -> bool:
        return len(self.entries(case.case_id)) != len(case.entries)

    def _require_sealed(self, case_id: str) -> None:
        if not self._seals.can_seal or (row := self._row(case_id)) is None:
            return
        fault = self._fault(row, self._case_of(row), self._seals.of(case_id))
        if fault is not None:
            raise CaseAltered(case_id, fault)

    def _seal(self, case_id: str, least: int = 1) -> None:
        if row := self._row(case_id):
            case = self._case_of(row)
            self._seals.renew(case, least)
            self.lists.renew(case)

    def _fault(self, row: dict[str, Any], case: Case, seal: RecordSeal | None) -> str | None:
        columns = {**columns_of(case), "case_id": case.case_id}
        if wrong := sorted(name for name, value in columns.items() if row[name] != value):
            return f"changed since this program wrote it: the columns {', '.join(wrong)}"
        return self._seals.fault(case, seal)


def _beginning(case_id: str) -> str:
    # Fewer than six characters, or characters with a meaning in SQL, name no case.
    return f"{case_id}*" if len(case_id) >= _SHORTEST_PREFIX and case_id.isalnum() else ""
