"""cases.db: the cases, what was decided about them, and the folder of evidence they name by SHA-256."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlite_utils import Database

from reports.cases.case import Case, Entry, case_from_dict, case_to_dict
from reports.cases.case_tables import columns_of, migrations, summary_of
from reports.cases.listings import PLACE, ListingRecord, listing_details
from reports.cases.record_seals import Mac, RecordSeal, RecordSeals
from reports.cases.review import same_name, status_of, successor_of
from reports.errors import CaseAltered, CasesLost, EvidenceAltered, UnknownCase

# However many ids there are: SQLite takes a limited number of parameters, and of any length.
_AMONG = "case_id in (select value from json_each(?))"


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What a list shows of a case; read without its samples.

    Attributes:
        flagged: samples that the image safety check called unsafe.
        entries: its log.
    """

    case_id: str
    identity_id: str
    identity_name: str
    outcome: str
    opened_at: str
    score: float
    threshold: float
    file: str
    sha256: str
    hub: str
    title: str
    creator: str | None
    downloads: int | None
    listing_url: str
    flagged: int
    entries: tuple[Entry, ...]

    @property
    def status(self) -> str:
        return status_of(self.entries)


@dataclass(frozen=True, slots=True)
class Standing:
    """The case that stands for another one: itself, or the one that took its place.

    Attributes:
        status: a CaseStatus.
        identity_name: whom it is about.
    """

    case_id: str
    status: str
    identity_name: str


class CaseStore:
    """The only writer of cases.db and of the evidence folder.

    Args:
        mac: seals what is written (reports.cases.record_seals); None for whoever only reads.
        any_thread: threads take turns, under a lock of the caller's.

    Raises:
        CasesLost: the file was emptied, as a crashed machine leaves it.
    """

    def __init__(
        self, path: Path, evidence: Path, mac: Mac | None = None, *, any_thread: bool = False
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._evidence = evidence
        with FileLock(path.with_suffix(".lock")):  # of several first processes one makes the tables
            if (
                path.exists()
                and path.stat().st_size == 0
                and evidence.is_dir()
                and any(evidence.iterdir())
            ):
                raise CasesLost(str(path))
            self._db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
            self._db.enable_wal()
            migrations.apply(self._db)
        self._seals = RecordSeals(self._db, mac)

    def close(self) -> None:
        self._db.close()

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

    @contextmanager
    def _changing(self, case_id: str) -> Iterator[None]:
        """A transaction that seals the case anew; raises CaseAltered, and writes nothing, if it is not as it was sealed."""
        with self._transaction():
            self._require_sealed(case_id)
            yield
            self._seal(case_id)

    def _require_sealed(self, case_id: str) -> None:
        if self._seals.can_seal and (row := self._row(case_id)) and (fault := self._fault(row)):
            raise CaseAltered(case_id, fault)

    def _seal(self, case_id: str, least: int = 1) -> None:
        if row := self._row(case_id):
            self._seals.renew(self._as_it_stands(row), least)

    def _row(self, case_id: str) -> dict[str, Any] | None:
        return next(iter(self._db.table("cases").rows_where("case_id = ?", [case_id])), None)

    def _fault(self, row: dict[str, Any]) -> str | None:
        case = self._as_it_stands(row)
        columns = {**columns_of(case), "case_id": case.case_id}
        if wrong := sorted(name for name, value in columns.items() if row[name] != value):
            return f"changed since this program wrote it: the columns {', '.join(wrong)}"
        return self._seals.fault(case)

    def vouched(self, case_id: str) -> tuple[Case, RecordSeal | None, str | None]:
        """A case as it stands, its seal, and what is wrong with it beside that; raises UnknownCase, CaseAltered."""
        self._db.conn.execute("begin deferred")
        try:
            if (row := self._row(case_id)) is None:
                raise UnknownCase(case_id)
            return self._as_it_stands(row), self._seals.of(case_id), self._fault(row)
        finally:
            self._db.conn.rollback()

    def case_ids(self) -> list[str]:
        """Ids of all cases, oldest first."""
        return [
            row[0]
            for row in self._db.execute(
                "select case_id from cases order by opened_at, case_id"
            ).fetchall()
        ]

    def seal_of(self, case_id: str) -> RecordSeal | None:
        """What was sealed last of a case."""
        return self._seals.of(case_id)

    def seal_unsealed(self) -> None:
        """Seal what an earlier version of the program wrote, as it is."""
        query = "select case_id from cases where case_id not in (select case_id from seals)"
        for (case_id,) in self._db.execute(query).fetchall():
            with (
                suppress(CaseAltered),
                self._transaction(),
            ):  # what cannot be read stays without a seal
                self._seal(case_id)

    def seal_again(self, case_id: str, version: int) -> None:
        """Seal a case that is as it once was under a version of its own; raises CaseAltered if it never was so."""
        with self._transaction():
            self._require_sealed(case_id)
            self._seal(case_id, version)

    def keep(self, data: bytes, suffix: str = "png") -> str:
        """Store a file's bytes under their SHA-256 and return that, lower-case hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._evidence / f"{sha256}.{suffix}"
        if not path.exists():
            self._evidence.mkdir(parents=True, exist_ok=True)
            # A name of its own: another process may keep the same bytes at the same time.
            partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.part")
            try:
                partial.touch(0o600)  # faces, and notices with what people filled in
                partial.write_bytes(data)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return sha256

    def kept(self, sha256: str, suffix: str = "png") -> bytes:
        """The bytes of a stored file; raises EvidenceAltered if they are not the ones stored."""
        path = self._evidence / f"{sha256}.{suffix}"
        if not path.exists() or hashlib.sha256(data := path.read_bytes()).hexdigest() != sha256:
            raise EvidenceAltered(str(path))
        return data

    def open(
        self, case: Case, also: Sequence[tuple[str, Entry]] = (), unless_changed: Case | None = None
    ) -> bool:
        """File a case; True if it is new. Filing the same case again changes nothing.

        Args:
            also: lines for the logs of cases, by case id, that are written with a new case or not at all.
            unless_changed: a case as it was read; nothing is filed if a line was added to its log since then.
        """
        with self._transaction():
            if unless_changed is not None and len(self.entries(unless_changed.case_id)) != len(
                unless_changed.entries
            ):
                return False
            record = json.dumps(case_to_dict(case), ensure_ascii=False, sort_keys=True)
            self._db.table("cases").insert(
                {"case_id": case.case_id, **columns_of(case), "record": record}, ignore=True
            )
            is_new = bool(self._db.execute("select changes()").fetchone()[0])
            self._db.table("summaries").insert(
                {**summary_of(case), "weights": weights_of(case)}, ignore=True
            )
            if is_new:
                others = {case_id for case_id, _ in also} - {case.case_id}
                for case_id in others:
                    self._require_sealed(case_id)
                for case_id, entry in also:
                    self._db.table("entries").insert(_entry_row(case_id, entry))
                for case_id in (case.case_id, *others):
                    self._seal(case_id)
        return is_new

    def case(self, case_id: str) -> Case:
        """The case of that id, or of the only id that begins so, as it stands now; raises UnknownCase."""
        rows = list(
            self._db.table("cases").rows_where(
                "case_id = ? or case_id like ?", [case_id, _prefix(case_id)]
            )
        )
        exact = [row for row in rows if row["case_id"] == case_id] or rows
        if len(exact) != 1:
            raise UnknownCase(case_id)
        return self._as_it_stands(exact[0])

    def cases(self, identity_id: str | None = None) -> Iterator[Case]:
        """All cases, oldest first, or those of one identity."""
        where, values = ("1 = 1", []) if identity_id is None else ("identity_id = ?", [identity_id])
        for row in list(
            self._db.table("cases").rows_where(where, values, order_by="opened_at, case_id")
        ):
            yield self._as_it_stands(row)

    def summaries(
        self, identity_id: str | None = None, opened_since: str = ""
    ) -> list[CaseSummary]:
        """Every case as lists show it, oldest first, or those of one identity, or opened since a time (ISO 8601)."""
        where, values = (
            "opened_at >= ? and (? is null or identity_id = ?)",
            [opened_since, identity_id, identity_id],
        )
        rows = list(
            self._db.table("summaries").rows_where(where, values, order_by="opened_at, case_id")
        )
        logs: dict[str, list[Entry]] = {}
        for case_id, entry in self.all_entries():
            logs.setdefault(case_id, []).append(entry)
        return [
            CaseSummary(**json.loads(row["summary"]), entries=tuple(logs.get(row["case_id"], ())))
            for row in rows
        ]

    def named(self, case_ids: Iterable[str]) -> list[Case]:
        """The cases of these ids, matches first, then by score."""
        rows = list(self._db.table("cases").rows_where(_AMONG, [json.dumps(list(case_ids))]))
        return sorted(
            map(self._as_it_stands, rows), key=lambda case: (case.outcome != "match", -case.score)
        )

    def of_weights(self, identity_id: str, weights: str) -> list[Case]:
        """The cases about one person and these weights (`weights_of`), in the order they were opened."""
        query = "case_id in (select case_id from summaries where identity_id = ? and weights = ?)"
        rows = self._db.table("cases").rows_where(query, [identity_id, weights], order_by="rowid")
        return [self._as_it_stands(row) for row in list(rows)]

    def attach(self, case_id: str, listing: ListingRecord, actor: str, now: datetime) -> bool:
        """Note another listing of a case's weights in its log, each once; whether it is new."""
        told = listing_details(listing)
        same = " and ".join(f"details ->> '$.{name}' is :{name}" for name in PLACE)
        with self._changing(case_id):
            return bool(
                self._db.execute(
                    "insert into entries (case_id, at, kind, actor, details) select :case, :at, 'listing', :by, :told "
                    f"where not exists (select 1 from entries where case_id = :case and kind = 'listing' and {same})",
                    {
                        **{name: told[name] for name in PLACE},
                        "case": case_id,
                        "at": now.isoformat(),
                        "by": actor,
                        "told": json.dumps(told, ensure_ascii=False, sort_keys=True),
                    },
                ).rowcount
            )

    def add(
        self, case_id: str, kind: str, actor: str, now: datetime, details: dict[str, Any]
    ) -> Entry:
        """Add a line to a case's log; raises CaseAltered, and writes nothing, if somebody changed the case from outside."""
        entry = Entry(0, now.isoformat(), kind, actor, details)
        # A working note is no part of the record.
        with self._transaction() if kind == "note" else self._changing(case_id):
            number = self._db.table("entries").insert(_entry_row(case_id, entry)).last_rowid
        return replace(entry, number=number or 0)

    def entries(self, case_id: str) -> tuple[Entry, ...]:
        """A case's log in order."""
        rows = self._db.table("entries").rows_where("case_id = ?", [case_id], order_by="number")
        return tuple(
            Entry(row["number"], row["at"], row["kind"], row["actor"], json.loads(row["details"]))
            for row in rows
        )

    def confirmations(self, reason: str) -> list[tuple[str, str]]:
        """Case id and reviewer of every confirmation in these words, however they are spelt."""
        words = same_name(reason)
        query = (
            "select case_id, actor, details ->> '$.reason' from entries where kind = 'review' "
            "and details ->> '$.decision' = 'confirm' order by number"
        )
        rows = self._db.execute(query).fetchall()
        return [(case_id, actor) for case_id, actor, told in rows if same_name(told) == words]

    def standings(self, case_ids: Iterable[str]) -> dict[str, Standing]:
        """Where each of these cases stands; reads no record whole. Ids of no case are left out.

        A case that was superseded stands where the case that took its place does.
        """
        query = f"select case_id, json_extract(record, '$.identity_name') from cases where {_AMONG}"
        rows = self._db.execute(query, [json.dumps(list(case_ids))]).fetchall()
        return {case_id: self._standing(case_id, name) for case_id, name in rows}

    def _standing(self, case_id: str, name: str) -> Standing:
        entries, seen = self.entries(case_id), {case_id}
        while (successor := successor_of(entries)) is not None and successor not in seen:
            seen.add(successor)
            case_id, entries = successor, self.entries(successor)
        return Standing(case_id, status_of(entries), name)

    def all_entries(self, kind: str | None = None) -> Iterator[tuple[str, Entry]]:
        """Case id and line of every line, or of every line of that kind, in order."""
        for row in list(
            self._db.table("entries").rows_where(
                "? is null or kind = ?", [kind, kind], order_by="number"
            )
        ):
            yield (
                row["case_id"],
                Entry(
                    row["number"], row["at"], row["kind"], row["actor"], json.loads(row["details"])
                ),
            )

    def resting_on(self, capture_id: str) -> list[Case]:
        """The cases that draw on a capture."""
        # Of thousands of records only those are read that hold the id at all.
        rows = list(self._db.table("cases").rows_where("instr(record, ?) > 0", [capture_id]))
        found = [self._as_it_stands(row) for row in rows]
        return [
            case
            for case in found
            if case.sighting and any(one.capture_id == capture_id for one in case.sighting.captures)
        ]

    def cases_by_capture(self) -> dict[str, tuple[str, ...]]:
        """Ids of the cases that draw on each capture, oldest first."""
        query = (
            "select e.value ->> '$.capture_id', case_id from cases, json_each(record, '$.sighting.captures') e "
            "order by opened_at, case_id"
        )
        found: dict[str, tuple[str, ...]] = {}
        for capture_id, case_id in self._db.execute(query).fetchall():
            found[capture_id] = (*found.get(capture_id, ()), case_id)
        return found

    def cited_checkpoints(self) -> frozenset[str]:
        """SHA-256 of every checkpoint that a case is about."""
        return frozenset(
            row[0]
            for row in self._db.execute("select distinct checkpoint_sha256 from cases").fetchall()
        )

    def _as_it_stands(self, row: dict[str, Any]) -> Case:
        try:
            case = case_from_dict(json.loads(row["record"]))
            entries = self.entries(case.case_id)
            return replace(case, entries=entries, status=status_of(entries))
        except (ValueError, KeyError) as error:
            raise CaseAltered(
                row["case_id"], f"its record cannot be read ({type(error).__name__})"
            ) from error


def _entry_row(case_id: str, entry: Entry) -> dict[str, Any]:
    details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True)
    return {
        "case_id": case_id,
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor,
        "details": details,
    }


def weights_of(case: Case) -> str | None:
    """What names the weights of a case, whatever header they came with; None for a case about captured images."""
    return None if case.sighting else case.checkpoint.weights_hash or case.checkpoint.sha256


def _prefix(case_id: str) -> str:
    # At least six signs of an id name a case; fewer, or signs with a meaning in SQL, name none.
    return f"{case_id}%" if len(case_id) >= 6 and case_id.isalnum() else ""
