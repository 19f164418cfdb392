"""Lists of cases: found by columns beside their records, a page at a time.

The columns change in the same transaction as the case, so that no list reads records or logs of
cases that it does not show. They are not sealed: what decides is read from the case itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlite_utils import Database

from reports.cases.case import Case, Entry
from reports.cases.case_log import CaseLog
from reports.cases.case_summary import CaseSummary, summary_record, weights_of
from reports.cases.urgency import MOST_DAYS, points_without_age, queued

# The full text index holds runs of three characters; shorter words are looked for in all texts.
_SHORTEST_INDEXED = 3
_POINTS = (
    "case when s.points = 0 then 0 else s.points + "
    f"min({MOST_DAYS}, max(0, (:now - s.opened_s) / 86400)) end"
)


class CaseOrder(Enum):
    """The order of a list: its keys, and whether they rise or fall from case to case."""

    URGENT = (f"-({_POINTS})", "s.opened_at", "s.case_id"), "asc"
    OLDEST = ("s.opened_at", "s.case_id"), "asc"
    NEWEST = ("s.opened_at", "s.case_id"), "desc"


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases a list holds; what is None or empty does not restrict it.

    Attributes:
        statuses: the case has one of them.
        words: a part of the case's id, person, file, title, uploader or SHA-256.
        changed_since: opened, or its log grew, at this time or later; ISO 8601, UTC.
    """

    statuses: tuple[str, ...] = ()
    outcome: str = ""
    hub: str = ""
    identity_id: str | None = None
    sha256: str | None = None
    words: str = ""
    changed_since: str = ""

    def where(self) -> tuple[str, dict[str, Any]]:
        """The SQL condition on summaries `s`, and its values."""
        conditions, values = ["1 = 1"], dict[str, Any]()
        for column in ("outcome", "hub", "identity_id", "sha256"):
            if value := getattr(self, column):
                conditions.append(f"s.{column} = :{column}")
                values[column] = value
        if self.statuses:
            conditions.append("s.status in (select value from json_each(:statuses))")
            values["statuses"] = json.dumps(self.statuses)
        if self.changed_since:
            conditions.append("s.changed_at >= :changed_since")
            values["changed_since"] = self.changed_since
        if words := self.words.casefold().replace("\0", "").strip():
            is_indexed = len(words) >= _SHORTEST_INDEXED
            match = "case_words match :words" if is_indexed else "instr(words, :words) > 0"
            conditions.append(f"s.case_id in (select case_id from case_words where {match})")
            values["words"] = '"' + words.replace('"', '""') + '"' if is_indexed else words
        return " and ".join(conditions), values


EVERY_CASE = CaseFilter()
_CURSOR = re.compile(r"(?P<points>\d{1,6})\.(?P<now>\d{1,11})\.(?P<case>[^.]{1,100})")


def urgent_cursor(case: CaseSummary, now: datetime) -> str:
    """The place of a case in the urgent order as it was at a time."""
    return f"{queued(case, now).points}.{int(now.timestamp())}.{case.case_id}"


class CaseLists:
    """Reads lists of cases from cases.db, and keeps their columns."""

    def __init__(self, db: Database, log: CaseLog) -> None:
        self._db, self._log = db, log

    def page(
        self,
        wanted: CaseFilter = EVERY_CASE,
        order: CaseOrder = CaseOrder.OLDEST,
        *,
        after: str | None = None,
        limit: int = -1,
        now: datetime | None = None,
    ) -> list[CaseSummary]:
        """The cases of a page.

        Args:
            after: id of the last case of the page before, or its `urgent_cursor`; an unknown one
                gives no case.
            limit: -1 for all cases.
            now: for the urgent order; of later pages it is that of the first.
        """
        where, values = wanted.where()
        keys, direction = order.value
        last: tuple[str, ...] = keys
        if order == CaseOrder.URGENT and after is not None:
            # Points change with decisions and with time: those of the page before count.
            if (cursor := _CURSOR.fullmatch(after)) is None:
                return []
            values |= {"points": int(cursor["points"])}
            after, now = cursor["case"], datetime.fromtimestamp(int(cursor["now"]), UTC)
            last = ("-:points", *keys[1:])
        if after is not None:
            before = f"select {', '.join(last)} from summaries s where s.case_id = :after"
            where += f" and ({', '.join(keys)}) {'>' if direction == 'asc' else '<'} ({before})"
        values |= {"after": after, "limit": limit, "now": int(now.timestamp()) if now else 0}
        sorted_by = ", ".join(f"{key} {direction}" for key in keys)
        query = f"select s.case_id from summaries s where {where} order by {sorted_by} limit :limit"
        return self._summaries([row[0] for row in self._db.execute(query, values).fetchall()])

    def count(self, wanted: CaseFilter = EVERY_CASE) -> int:
        """The number of cases in a list."""
        where, values = wanted.where()
        query = f"select count(*) from summaries s where {where}"
        return int(self._db.execute(query, values).fetchone()[0])

    def opened_in(self, month: str) -> dict[str, int]:
        """The number of cases that were opened in a month (YYYY-MM), by outcome."""
        query = (
            "select outcome, count(*) from summaries where opened_at between ? and ? || '~' "
            "group by outcome order by outcome"
        )
        return dict(self._db.execute(query, [month, month]).fetchall())

    def scans_of(self, case_ids: Iterable[str]) -> dict[str, str]:
        """Ids of the scans that opened these cases, by case id."""
        query = (
            "select case_id, scan_id from cases where case_id in (select value from json_each(?))"
        )
        return dict(self._db.execute(query, [json.dumps(list(case_ids))]).fetchall())

    def hubs(self) -> list[str]:
        """The hubs of all cases, sorted."""
        rows = self._db.execute("select distinct hub from summaries order by hub").fetchall()
        return [row[0] for row in rows]

    def _summaries(self, case_ids: list[str]) -> list[CaseSummary]:
        """The summaries of these cases, in this order."""
        ids = json.dumps(case_ids)
        query = (
            "select case_id, summary from summaries "
            "where case_id in (select value from json_each(?))"
        )
        records = dict(self._db.execute(query, [ids]).fetchall())
        logs: dict[str, list[Entry]] = {}
        for case_id, entry in self._log.of_cases(case_ids):
            logs.setdefault(case_id, []).append(entry)
        return [
            CaseSummary(**json.loads(records[case_id]), entries=tuple(logs.get(case_id, ())))
            for case_id in case_ids
        ]

    def add(self, case: Case) -> None:
        """Add a case to the lists, unless it is in them."""
        record = summary_record(case)
        row = {
            "case_id": case.case_id,
            "identity_id": case.identity_id,
            "opened_at": case.opened_at,
            "summary": json.dumps(record, ensure_ascii=False),
            "weights": weights_of(case),
            **columns_of_summary(CaseSummary(**record, entries=case.entries)),
        }
        self._db.table("summaries").insert(row, ignore=True)
        if self._db.execute("select changes()").fetchone()[0]:
            add_words(self._db, record)
            add_captures(self._db, case)

    def renew(self, case: Case) -> None:
        """Bring the columns of a case up to date; its log has grown."""
        summary = CaseSummary(**summary_record(case), entries=case.entries)
        if any(self._db.table("summaries").rows_where("case_id = ?", [case.case_id], limit=1)):
            self._db.table("summaries").update(case.case_id, columns_of_summary(summary))


def columns_of_summary(case: CaseSummary) -> dict[str, Any]:
    """The columns by which SQLite finds and sorts a summary."""
    return {
        "outcome": case.outcome,
        "hub": case.hub,
        "sha256": case.sha256,
        "status": case.status,
        "points": points_without_age(case),
        "opened_s": int(datetime.fromisoformat(case.opened_at).timestamp()),
        "changed_at": max([case.opened_at, *(entry.at for entry in case.entries)]),
    }


def add_words(db: Database, summary: dict[str, Any]) -> None:
    """Add the words by which a case is found."""
    names = ("case_id", "identity_name", "file", "title", "creator", "sha256")
    words = "\n".join(str(summary[name] or "") for name in names).casefold()
    db.execute("insert into case_words (case_id, words) values (?, ?)", [summary["case_id"], words])


def add_captures(db: Database, case: Case) -> None:
    """Note which captures a case uses."""
    captures: Iterable[str] = (
        dict.fromkeys(row.capture_id for row in case.sighting.captures) if case.sighting else ()
    )
    for capture_id in captures:
        row = {"capture_id": capture_id, "case_id": case.case_id}
        db.table("case_captures").insert(row, ignore=True)
