"""The list of notices in cases.db: where each stands, kept in step with the logs of the cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
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
        hours: Mapping[str, int | None],
        states: Sequence[NoticeState] = tuple(NoticeState),
        *,
        after: str | None = None,
        limit: int = -1,
    ) -> list[str]:
        """The ids of the notices of a page: by deadline, then those without one, the oldest first.

        Args:
            hours: the templates whose notices are listed, with the hours that a law sets.
            after: the last notice of the page before, as "ID@DUE" with its deadline then in
                seconds, or "ID@" without one; an unknown one gives no notice.
            limit: -1 for all notices.
        """
        keys = "due_s is null, coalesce(due_s, 0), number"
        values: dict[str, Any] = {**_values(hours, states), "limit": limit}
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
        query = f"{_LISTED} select notice_id from listed {beyond} order by {keys} limit :limit"
        return [row[0] for row in self._db.execute(query, values).fetchall()]

    def count(
        self, hours: Mapping[str, int | None], states: Sequence[NoticeState] = tuple(NoticeState)
    ) -> int:
        """The number of notices of these templates in these states."""
        query = f"{_LISTED} select count(*) from listed"
        return int(self._db.execute(query, _values(hours, states)).fetchone()[0])


_LISTED = (
    "with listed as (select notice_id, number, case when state in ("
    + ", ".join(f"'{state}'" for state in RUNNING)
    + ") then sent_at_s + 3600 * hours.value end as due_s "
    "from notices join json_each(:hours) hours on hours.key = template "
    "where state in (select value from json_each(:states)))"
)


def _values(hours: Mapping[str, int | None], states: Sequence[NoticeState]) -> dict[str, str]:
    return {"hours": json.dumps(dict(hours)), "states": json.dumps([str(one) for one in states])}
