"""The tables of cases.db, and their columns beside the record of a case."""

from __future__ import annotations

import json

from sqlite_utils import Database, Migrations

from reports.cases.case import Case, case_from_dict

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
        db.table("summaries").insert(summary_of(case_from_dict(json.loads(row["record"]))))


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


def columns_of(case: Case) -> dict[str, str]:
    """The columns beside a record by which SQLite finds a case."""
    return {
        "scan_id": case.scan_id,
        "identity_id": case.identity_id,
        "checkpoint_sha256": case.checkpoint.sha256,
        "outcome": case.outcome,
        "opened_at": case.opened_at,
    }


def summary_of(case: Case) -> dict[str, str]:
    """A case's row in the table of summaries."""
    fields = {
        name: getattr(case, name)
        for name in (
            "case_id",
            "identity_id",
            "identity_name",
            "outcome",
            "opened_at",
            "score",
            "threshold",
        )
    }
    fields |= {
        name: getattr(case.checkpoint, name)
        for name in ("file", "sha256", "hub", "title", "creator", "downloads", "listing_url")
    }
    fields["flagged"] = sum(sample.flagged for sample in case.samples)
    summary = json.dumps(fields, ensure_ascii=False)
    return {
        "case_id": case.case_id,
        "identity_id": case.identity_id,
        "opened_at": case.opened_at,
        "summary": summary,
    }
