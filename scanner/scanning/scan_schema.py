"""The tables of scans.db, their migrations, and opening the file."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlite_utils import Database, Migrations

from scanner.databases import open_database
from scanner.scanning.coverage import create_coverage, create_day_counters, create_drawn_counters
from scanner.scanning.impostor_store import create_impostor_counts
from scanner.scanning.item_migration import take_over_items

migrations = Migrations("scans")


def open_scans_db(path: Path, *, any_thread: bool = False) -> Database:
    """Open scans.db and bring its tables up to date.

    Args:
        any_thread: whether several threads use the database; the caller must hold a lock.
    """
    db = open_database(path, migrations, any_thread=any_thread)
    with FileLock(path.with_suffix(".lock")):
        forget_older_pages(db)
    return db


@migrations()
def scans_items_verdicts(db: Database) -> None:
    db.table("scans").create(
        {
            "scan_id": str,
            "target": str,
            "fingerprint": str,
            "started_at": str,
            "listed_at": str,
            "finished_at": str,
            "gallery_size": int,
        },
        pk="scan_id",
    )
    db.table("items").create(
        {
            "scan_id": str,
            "item_key": str,
            "position": int,
            "state": str,
            "listing": str,
            "file_number": int,
            "sha256": str,
            "triage": str,
            "verdict": str,
        },
        pk=("scan_id", "item_key"),
    )
    db.table("verdicts").create(
        {"sha256": str, "fingerprint": str, "record": str, "judged_at": str},
        pk=("sha256", "fingerprint"),
    )


@migrations()
def triages_by_hash(db: Database) -> None:
    db.table("triages").create({"sha256": str, "record": str, "triaged_at": str}, pk="sha256")


@migrations()
def samples_of_verdicts(db: Database) -> None:
    db.table("samples").create(
        {
            "sha256": str,
            "fingerprint": str,
            "stage": str,
            "number": int,
            "prompt": str,
            "negative_prompt": str,
            "seed": int,
            "scale": float,
            "trigger": str,
            "batch": int,
            "control_batch": int,
            "pixels_sha256": str,
            "control_pixels_sha256": str,
            "flagged": int,
            "quality": float,
            "score": float,
            "control_score": float,
        },
        pk=("sha256", "fingerprint", "stage", "number"),
    )


@migrations()
def items_by_hash(db: Database) -> None:
    db.table("items").create_index(["sha256"])


@migrations()
def sightings_of_captures(db: Database) -> None:
    db.table("sightings").create(
        {
            "subject": str,
            "version": str,
            "fingerprint": str,
            "outcome": str,
            "record": str,
            "judged_at": str,
        },
        pk=("subject", "version", "fingerprint"),
    )


@migrations()
def settings_of_verdicts(db: Database) -> None:
    # Older verdicts have none and are only found under their own key.
    db.table("verdicts").add_column("searched", str)


@migrations()
def releases_of_sightings(db: Database) -> None:
    db.table("releases").create(
        {
            "subject": str,
            "version": str,
            "decision": str,
            "by": str,
            "actor": str,
            "reason": str,
            "at": str,
        }
    )
    db.table("releases").create_index(["subject", "version"])


@migrations()
def files_held_for_minors(db: Database) -> None:
    db.table("held_files").create(
        {
            "key": str,
            "identity_id": str,
            "sha256": str,
            "places": str,
            "hub": str,
            "listing_id": str,
            "title": str,
            "url": str,
            "file": str,
            "likeness": float,
            "held_at": str,
        },
        pk="key",
    )
    db.table("held_files").create_index(["sha256"])
    db.table("held_looks").create(
        {
            "key": str,
            "at": str,
            "by": str,
            "actor": str,
            "login": str,
            "decision": str,
            "reason": str,
            "places": str,
        }
    )
    db.table("held_looks").create_index(["key"])


@migrations()
def seals_of_verdicts(db: Database) -> None:
    # Older verdicts have none, so that their files are examined again.
    db.table("verdicts").add_column("seal", str)


@migrations()
def nobody_is_named(db: Database) -> None:
    db.execute("pragma secure_delete = on")
    for row in list(
        db.query("select rowid as number, verdict from items where verdict is not null")
    ):
        record = json.loads(row["verdict"])
        rows = [_nameless(result) for result in record.get("rows", ())]
        text = json.dumps({**record, "rows": rows}, ensure_ascii=False)
        db.execute("update items set verdict = ? where rowid = ?", [text, row["number"]])
    for row in list(db.query("select rowid as number, record from sightings")):
        text = json.dumps(_nameless(json.loads(row["record"])), ensure_ascii=False)
        db.execute("update sightings set record = ? where rowid = ?", [text, row["number"]])


def _nameless(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of an earlier version without the person's name and without licensees."""
    kept = {name: value for name, value in row.items() if name != "identity"}
    authorised = kept.get("authorised")
    if isinstance(authorised, str):
        kept["authorised"] = without_licensee(authorised)
    elif authorised:
        kept["authorised"] = [without_licensee(sentence) for sentence in authorised]
    return kept


def without_licensee(authorised: str) -> str:
    """Return an earlier version's sentence about a licence without the licensee, as it is now."""
    pattern = r"(licence [0-9a-f]{8}) for .*? (until \d{4}-\d\d-\d\d)"
    return re.sub(pattern, r"\1 \2", authorised, flags=re.DOTALL)


@migrations()
def parts_of_verdict_keys(db: Database) -> None:
    # Older verdicts have none. Their keys have other parts, so they are not found any more.
    db.table("verdicts").add_column("parts", str)


@migrations()
def searches_of_items(db: Database) -> None:
    # Items of earlier versions have none of these, so that their files are scanned again.
    for name in ("search_key", "settings_key", "sampling_keys", "searched_at"):
        db.table("items").add_column(name, str)
    db.table("items").create_index(["item_key"], if_not_exists=True)
    db.table("retrosearches").create(
        {
            "search_key": str,
            "gallery_version": int,
            "files": int,
            "unsearched": int,
            "started_at": str,
            "finished_at": str,
        },
        pk="search_key",
        if_not_exists=True,
    )


@migrations()
def items_of_targets(db: Database) -> None:
    db.table("scans").add_column("number", int)
    numbered = db.execute("select scan_id from scans order by started_at, rowid").fetchall()
    db.conn.executemany(
        "update scans set number = ? where scan_id = ?",
        [(number, scan_id) for number, (scan_id,) in enumerate(numbered, 1)],
    )
    db.table("scans").create_index(["number"], unique=True)
    db.table("scans").create_index(["target", "number"])
    db.execute("alter table items rename to items_of_scans")
    db.execute(
        "create table item_listings (listing_number integer primary key, digest text unique, "
        "hub text, record text)"
    )
    db.execute(
        "create table items (item_id integer primary key, target text, item_key text, "
        "first_scan integer, last_scan integer, listed_scan integer, position integer, "
        "state text, listing_number integer, file_number integer, sha256 text, verdict text, "
        "search_key text, settings_key text, sampling_keys text, searched_at text, "
        "unique (target, item_key, first_scan))"
    )
    take_over_items(db)
    db.execute("drop table items_of_scans")
    for columns in (("sha256",), ("item_key",), ("target", "position"), ("listing_number",)):
        db.table("items").create_index(columns)


@migrations()
def counters_of_examined_files(db: Database) -> None:
    create_coverage(db)


@migrations()
def galleries_of_results(db: Database) -> None:
    # NULL in what earlier versions stored: the gallery version of the rows holds then.
    db.table("items").add_column("searched_through", int)
    db.table("scans").add_column("gallery_version", int)


@migrations()
def counters_of_drawn_files(db: Database) -> None:
    create_drawn_counters(db)


@migrations()
def counters_of_days(db: Database) -> None:
    create_day_counters(db)


@migrations()
def counts_of_impostor_scores(db: Database) -> None:
    create_impostor_counts(db)


@migrations()
def settings_of_samples(db: Database) -> None:
    # NULL in what earlier versions stored: their samples have the settings of their stage.
    db.table("samples").add_column("steps", int)
    db.table("samples").add_column("size_share", float)
    db.table("samples").add_column("companions", str)


@migrations()
def id_of_the_installation(db: Database) -> None:
    db.table("installation").create({"number": int, "installation_id": str}, pk="number")


def forget_older_pages(db: Database) -> None:
    """Remove what an earlier version wrote from free pages of the database and from its log.

    This is done once. If another connection reads at that time, the next opening tries again.
    """
    db.execute("pragma secure_delete = on")
    if db.execute("pragma user_version").fetchone()[0] >= _PAGES_CLEARED:
        return
    with suppress(sqlite3.OperationalError):
        db.conn.execute("vacuum")
        [(busy, *_)] = db.conn.execute("pragma wal_checkpoint(truncate)").fetchall()
        if not busy:
            db.conn.execute(f"pragma user_version = {_PAGES_CLEARED}")


_PAGES_CLEARED = 1
