"""The tables of cases.db, and their columns beside the record of a case."""

from __future__ import annotations

import json
from contextlib import suppress

from sqlite_utils import Database, Migrations

from reports.cases.case import Case, case_from_dict
from reports.cases.case_list import add_words, columns_of_summary
from reports.cases.case_log import CaseLog
from reports.cases.case_summary import CaseSummary, summary_record
from reports.cases.notice_list import NoticeList

migrations = Migrations("cases")


@migrations()
def cases(db: Database) -> None:
    db.table("cases").create(
        {
            "case_id": str,
            "scan_id": str,
            "identity_id": str,
            "checkpoint_sha256": str,
            "outcome": str,
            "opened_at": str,
            "record": str,
        },
        pk="case_id",
    )
    db.table("cases").create_index(["scan_id"])


@migrations()
def entries_that_are_only_added_to(db: Database) -> None:
    db.table("entries").create(
        {"number": int, "case_id": str, "at": str, "kind": str, "actor": str, "details": str},
        pk="number",
    )
    db.table("entries").create_index(["case_id"])
    for change in ("update", "delete"):
        db.execute(
            f"create trigger entries_no_{change} before {change} on entries "
            "begin select raise(abort, 'a case is only ever added to'); end"
        )


@migrations()
def what_lists_show_apart_from_the_record(db: Database) -> None:
    # A table of its own: a column behind a record of 50 kB would be as slow to read as the record.
    db.table("summaries").create(
        {"case_id": str, "identity_id": str, "opened_at": str, "summary": str}, pk="case_id"
    )
    db.table("summaries").create_index(["identity_id"])
    for row in db.table("cases").rows:
        case = case_from_dict(json.loads(row["record"]))
        summary = {
            "case_id": case.case_id,
            "identity_id": case.identity_id,
            "opened_at": case.opened_at,
            "summary": json.dumps(summary_record(case), ensure_ascii=False),
        }
        db.table("summaries").insert(summary)


@migrations()
def cases_by_person_and_weights(db: Database) -> None:
    db.execute("alter table summaries add column weights text")
    db.execute(
        "update summaries set weights = (select coalesce(record ->> '$.checkpoint.weights_hash', "
        "record ->> '$.checkpoint.sha256') from cases where cases.case_id = summaries.case_id "
        "and record ->> '$.sighting' is null)"
    )
    db.table("summaries").create_index(["identity_id", "weights"])


@migrations()
def seals_of_records(db: Database) -> None:
    db.table("seals").create(
        {"case_id": str, "version": int, "sha256": str, "parts": str, "mac": str}, pk="case_id"
    )


@migrations()
def lists_that_follow_the_cases(db: Database) -> None:
    texts, numbers = ("outcome", "hub", "sha256", "status", "changed_at"), ("points", "opened_s")
    for name, kind in {**dict.fromkeys(texts, str), **dict.fromkeys(numbers, int)}.items():
        db.table("summaries").add_column(name, kind)
    db.execute(
        "create virtual table case_words using fts5 (case_id unindexed, words, tokenize='trigram')"
    )
    log = CaseLog(db)
    for row in list(db.table("summaries").rows):
        # A list shows what it can of a case that was changed outside this program.
        with suppress(ValueError, KeyError, TypeError):
            summary = json.loads(row["summary"])
            case = CaseSummary(**summary, entries=log.of_case(row["case_id"]))
            db.table("summaries").update(row["case_id"], columns_of_summary(case))
            add_words(db, summary)
    for columns in (
        ("status", "points", "opened_s", "opened_at", "outcome", "hub"),
        ("opened_at", "case_id"),
        ("identity_id", "opened_at"),
        ("sha256",),
        ("hub",),
        ("changed_at",),
    ):
        db.table("summaries").create_index(columns)
    db.table("entries").create_index(["kind", "at"])
    db.table("case_captures").create(
        {"capture_id": str, "case_id": str}, pk=("capture_id", "case_id")
    )
    db.execute(
        "insert or ignore into case_captures select e.value ->> '$.capture_id', case_id "
        "from cases, json_each(record, '$.sighting.captures') e where json_valid(record)"
    )
    NoticeList.create(db)
    NoticeList.add_send_by(db)
    for case_id, entry in log.of_all_cases("notice"):
        with suppress(KeyError):
            NoticeList(db).follow(case_id, entry)


@migrations()
def until_when_notices_must_be_sent(db: Database) -> None:
    NoticeList.add_send_by(db)


@migrations()
def cases_by_weights(db: Database) -> None:
    db.table("summaries").create_index(["weights"])


def columns_of(case: Case) -> dict[str, str]:
    """The columns beside a record by which SQLite finds a case."""
    return {
        "scan_id": case.scan_id,
        "identity_id": case.identity_id,
        "checkpoint_sha256": case.checkpoint.sha256,
        "outcome": case.outcome,
        "opened_at": case.opened_at,
    }
