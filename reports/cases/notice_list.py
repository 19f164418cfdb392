"""The list of notices in cases.db: where each stands, kept in step with the logs of the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from reports.cases.case import Entry


class NoticeState(StrEnum):
    """Where a notice stands."""

    DRAFTED = "drafted"
    CANCELLED = "cancelled"  # drafted and never sent
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REMOVED = "removed"
    REFUSED = "refused"
    REINSTATED = "reinstated"


_MOST_DIGITS = 12
EndOfPeriod = Callable[[datetime], datetime]
"""When a period that began at a time ends."""
# States in which the deadline that a law sets runs.
RUNNING = (NoticeState.SENT, NoticeState.ACKNOWLEDGED)


class NoticeList:
    """Follows the entries about notices; the caller holds the transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @staticmethod
    def create(db: Database) -> None:
        """Create the table."""
        db.table("notices").create(
            {
                "notice_id": str,
                "case_id": str,
                "template": str,
                "state": str,
                "drafted_at": str,
                "number": int,
                "sent_at_s": int,
            },
            pk="notice_id",
        )
        db.table("notices").create_index(["case_id"])
        db.table("notices").create_index(["state", "template"])

    @staticmethod
    def add_send_by(db: Database) -> None:
        """Add until when a notice must be sent, by law."""
        if "send_by_s" not in db.table("notices").columns_dict:
            db.table("notices").add_column("send_by_s", int)

    def follow(self, case_id: str, entry: Entry) -> None:
        """Bring the list up to date with an entry about a notice."""
        notice_id, state = entry.details["notice"], entry.details["event"]
        if state == NoticeState.DRAFTED:
            row = {
                "notice_id": notice_id,
                "case_id": case_id,
                "template": entry.details["template"],
                "state": state,
                "drafted_at": entry.at,
                "number": entry.number,
            }
            if send_by := entry.details.get("send_by"):
                row["send_by_s"] = int(datetime.fromisoformat(send_by).timestamp())
            self._db.table("notices").insert(row, ignore=True)
            return
        changes: dict[str, Any] = {"state": state}
        if state == NoticeState.SENT:
            sent_at = datetime.fromisoformat(entry.details.get("at", entry.at))
            changes["sent_at_s"] = int(sent_at.timestamp())
        self._db.table("notices").upsert({"notice_id": notice_id, **changes}, pk="notice_id")

    def case_of(self, notice_id: str) -> str | None:
        """Id of the case of a notice; None if there is no such notice."""
        query = "select case_id from notices where notice_id = ?"
        row = self._db.execute(query, [notice_id]).fetchone()
        return row[0] if row else None

    def page(
        self,
        ends: Mapping[str, EndOfPeriod | None],
        states: Sequence[NoticeState] = tuple(NoticeState),
        *,
        after: str | None = None,
        limit: int = -1,
    ) -> list[str]:
        """The ids of the notices of a page: by deadline, then those without one, the oldest first.

        Args:
            ends: the templates whose notices are listed, with the end of the period that begins
                when one is sent.
            after: the last notice of the page before, as "ID@DUE" with its deadline then in
                seconds, or "ID@" without one; an unknown one gives no notice.
            limit: -1 for all notices.
        """
        keys = "due_s is null, coalesce(due_s, 0), number"
        values: dict[str, Any] = {**_values(ends, states), "limit": limit}
        beyond = ""
        if after is not None:
            notice_id, _, due = after.partition("@")
            is_number = due.isascii() and due.isdecimal() and len(due) < _MOST_DIGITS
            values |= {"after": notice_id, "due": int(due) if is_number else None}
            number = "(select number from notices where notice_id = :after)"
            beyond = (
                f"where ({keys}) > (:due is null, coalesce(:due, 0), {number}) "
                f"and {number} is not null"
            )
        self._must_know(ends)
        query = f"{_LISTED} select notice_id from listed {beyond} order by {keys} limit :limit"
        return [row[0] for row in self._db.execute(query, values).fetchall()]

    def count(
        self,
        ends: Mapping[str, EndOfPeriod | None],
        states: Sequence[NoticeState] = tuple(NoticeState),
    ) -> int:
        """The number of notices of these templates in these states."""
        self._must_know(ends)
        query = f"{_LISTED} select count(*) from listed"
        return int(self._db.execute(query, _values(ends, states)).fetchone()[0])

    def _must_know(self, ends: Mapping[str, EndOfPeriod | None]) -> None:
        """Tell SQLite how the periods end."""

        def end(template: str, sent_at_s: int | None) -> int | None:
            of_template = ends.get(template)
            if of_template is None or sent_at_s is None:
                return None
            return int(of_template(datetime.fromtimestamp(sent_at_s, UTC)).timestamp())

        self._db.conn.create_function("end_of_notice", 2, end)


_LISTED = (
    "with listed as (select notice_id, number, case when state in ("
    + ", ".join(f"'{state}'" for state in RUNNING)
    + ") then end_of_notice(template, sent_at_s) "
    f"when state = '{NoticeState.DRAFTED}' then send_by_s end as due_s from notices "
    "where template in (select value from json_each(:templates)) "
    "and state in (select value from json_each(:states)))"
)


def _values(
    ends: Mapping[str, EndOfPeriod | None], states: Sequence[NoticeState]
) -> dict[str, str]:
    return {
        "templates": json.dumps(list(ends)),
        "states": json.dumps([str(one) for one in states]),
    }
