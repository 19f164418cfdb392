"""The entries of cases in cases.db: a log for each case, to which entries are only added."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sqlite_utils import Database

from reports.cases.case import Entry
from reports.cases.listings import PLACE
from reports.cases.notice_list import NoticeList
from reports.cases.review import same_name


class CaseLog:
    """Reads and adds entries; the caller holds the transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.notices = NoticeList(db)

    def add(self, case_id: str, entry: Entry) -> Entry:
        """Add an entry; returns it with its number."""
        number = self._db.table("entries").insert(_row(case_id, entry)).last_rowid
        added = replace(entry, number=number or 0)
        if entry.kind == "notice":
            self.notices.follow(case_id, added)
        return added

    def add_listing(self, case_id: str, entry: Entry) -> bool:
        """Add an entry for another listing or copy, unless the log has one for the same place."""
        same = " and ".join(f"details ->> '$.{name}' is :{name}" for name in PLACE)
        query = (
            "insert into entries (case_id, at, kind, actor, details) "
            "select :case_id, :at, :kind, :actor, :details where not exists "
            f"(select 1 from entries where case_id = :case_id and kind = :kind and {same})"
        )
        place = {name: entry.details[name] for name in PLACE}
        return bool(self._db.execute(query, {**place, **_row(case_id, entry)}).rowcount)

    def of_case(self, case_id: str) -> tuple[Entry, ...]:
        """A case's entries in order."""
        rows = self._db.table("entries").rows_where("case_id = ?", [case_id], order_by="number")
        return tuple(map(_entry, rows))

    def of_cases(self, case_ids: Iterable[str]) -> Iterator[tuple[str, Entry]]:
        """Case id and entry of every entry of these cases, in order."""
        rows = self._db.table("entries").rows_where(
            "case_id in (select value from json_each(?))",
            [json.dumps(list(case_ids))],
            order_by="number",
        )
        for row in list(rows):
            yield row["case_id"], _entry(row)

    def of_all_cases(self, kind: str, month: str = "") -> Iterator[tuple[str, Entry]]:
        """Case id and entry of every entry of that kind, or of those of a month, in order."""
        rows = self._db.table("entries").rows_where(
            "kind = ? and at between ? and ? || '~'", [kind, month, month], order_by="number"
        )
        for row in list(rows):
            yield row["case_id"], _entry(row)

    def confirmations(self, reason: str) -> list[tuple[str, str]]:
        """Case id and reviewer of every confirmation with this reason, however it is spelt."""
        words = same_name(reason)
        query = (
            "select case_id, actor, details ->> '$.reason' from entries where kind = 'review' "
            "and details ->> '$.decision' = 'confirm' order by number"
        )
        rows = self._db.execute(query).fetchall()
        return [(case_id, actor) for case_id, actor, given in rows if same_name(given) == words]


def _entry(row: dict[str, Any]) -> Entry:
    details = json.loads(row["details"])
    return Entry(row["number"], row["at"], row["kind"], row["actor"], details)


def _row(case_id: str, entry: Entry) -> dict[str, Any]:
    details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True)
    return {
        "case_id": case_id,
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor,
        "details": details,
    }
