"""The words by which listings are found: a full text index in crawl.db, changed with the listings.

The index holds runs of three characters (FTS5, trigram), so that any part of a word is found, in
any script.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from crawlers.listing import Listing

# Shorter words are looked for in all texts.
_SHORTEST_INDEXED = 3


def create_listing_words(db: Database) -> None:
    """Create the index, and fill it from stored listings."""
    db.execute("create virtual table listing_words using fts5 (words, tokenize='trigram')")
    # A number of its own, because `vacuum` may change the row ids of other tables.
    db.execute(
        "create table listing_numbers (number integer primary key, hub text, listing_id text, "
        "unique (hub, listing_id))"
    )
    newest = (
        "select p.hub, p.listing_id, l.record from presence p "
        "join listings l using (hub, listing_id, content_sha256)"
    )
    for hub, listing_id, record in db.execute(newest):
        _keep(db, hub, listing_id, words_of_record(json.loads(record)))


def keep_words(db: Database, listings: Sequence[Listing]) -> None:
    """Store the words of listings that are new or changed; called inside a transaction."""
    for listing in listings:
        files = (file.name for file in listing.files)
        words = _joined(listing.title, listing.creator, *listing.tags, *listing.triggers, *files)
        _keep(db, listing.hub, listing.listing_id, words)


def _keep(db: Database, hub: str, listing_id: str, words: str) -> None:
    query = "select number from listing_numbers where hub = ? and listing_id = ?"
    known = db.execute(query, [hub, listing_id]).fetchone()
    if known is not None:
        db.execute("update listing_words set words = ? where rowid = ?", [words, known[0]])
        return
    added = "insert into listing_numbers (hub, listing_id) values (?, ?)"
    number = db.execute(added, [hub, listing_id]).lastrowid
    db.execute("insert into listing_words (rowid, words) values (?, ?)", [number, words])


def words_of_record(record: Mapping[str, Any]) -> str:
    """The words of a stored listing."""
    lists = (*(record.get("tags") or ()), *(record.get("triggers") or ()))
    files = (str(file.get("name", "")) for file in record.get("files") or ())
    return _joined(record.get("title"), record.get("creator"), *lists, *files)


def _joined(*texts: str | None) -> str:
    return "\n".join(text for text in texts if text).casefold()


def condition(words: Iterable[str]) -> tuple[str, dict[str, str]]:
    """SQL for listings `p` that have all of these words, and its values."""
    conditions, values = [], {}
    for number, word in enumerate(words):
        wanted = word.casefold().replace("\0", "")
        if len(wanted) >= _SHORTEST_INDEXED:
            conditions.append(f"listing_words match :word{number}")
            values[f"word{number}"] = '"' + wanted.replace('"', '""') + '"'
        else:
            conditions.append(f"instr(words, :word{number}) > 0")
            values[f"word{number}"] = wanted
    numbers = " intersect ".join(
        f"select rowid from listing_words where {one}" for one in conditions
    )
    found = f"select hub, listing_id from listing_numbers where number in ({numbers})"
    return f"(p.hub, p.listing_id) in ({found})", values
