"""The words by which listings are found: a full text index in crawl.db, changed with the listings.

The index holds runs of three characters (FTS5, trigram), so that any part of a word is found, in
any script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from crawlers.listing import Listing

# Shorter words are looked for in all texts.
_SHORTEST_INDEXED = 3
CREATE = "create virtual table listing_words using fts5 (words, tokenize='trigram')"


def keep_words(db: Database, listings: Sequence[Listing]) -> None:
    """Store the words of listings that are new or changed; called inside a transaction."""
    numbered = "select rowid from presence where hub = ? and listing_id = ?"
    for listing in listings:
        number = db.execute(numbered, [listing.hub, listing.listing_id]).fetchone()[0]
        files = (file.name for file in listing.files)
        words = _joined(listing.title, listing.creator, *listing.tags, *listing.triggers, *files)
        db.execute("delete from listing_words where rowid = ?", [number])
        db.execute("insert into listing_words (rowid, words) values (?, ?)", [number, words])


def words_of_record(record: Mapping[str, Any]) -> str:
    """The words of a stored listing."""
    lists = (*(record.get("tags") or ()), *(record.get("triggers") or ()))
    files = (str(file.get("name", "")) for file in record.get("files") or ())
    return _joined(record.get("title"), record.get("creator"), *lists, *files)


def _joined(*texts: str | None) -> str:
    return "\n".join(text for text in texts if text).casefold()


def condition(words: Iterable[str]) -> tuple[str, dict[str, str]]:
    """SQL for the numbers of listings that have all of these words, and its values."""
    conditions, values = [], {}
    for number, word in enumerate(words):
        wanted = word.casefold()
        if len(wanted) >= _SHORTEST_INDEXED:
            conditions.append(f"listing_words match :word{number}")
            values[f"word{number}"] = '"' + wanted.replace('"', '""') + '"'
        else:
            conditions.append(f"instr(words, :word{number}) > 0")
            values[f"word{number}"] = wanted
    found = (f"select rowid from listing_words where {one}" for one in conditions)
    return " and ".join(f"p.rowid in ({one})" for one in found), values
