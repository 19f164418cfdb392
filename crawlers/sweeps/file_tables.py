"""The files of listings in crawl.db: their hashes, and which listing had a file first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

from crawlers.hashes import is_of_nothing
from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.events import EventKind

# SQLite accepts 32,766 values in one statement. A repository of thousands of files comes near.
_MOST_VALUES = 10_000


def keep_other_hashes(db: Database, listings: Sequence[Listing]) -> None:
    """Store the hashes of files beside SHA-256. Must be called inside a transaction."""
    db.conn.executemany(
        "insert into file_hashes (hash, hub, listing_id, name, sha256) "
        "values (?, ?, ?, ?, ?) on conflict do nothing",
        [
            (digest, listing.hub, listing.listing_id, file.name, file.sha256 or "")
            for listing in listings
            for file in listing.files
            for digest in file.other_hashes
        ],
    )


def keep_files(
    db: Database, hub: str, listings: Sequence[Listing], moment: str
) -> list[tuple[str, EventKind, dict[str, Any]]]:
    """Store the files of listings; return an event for each that another listing had before.

    Must be called inside a transaction.
    """
    named = [
        (listing.listing_id, file)
        for listing in listings
        for file in (*listing.files, *listing.training_data)
        if file.sha256 or _weights_hash(file)
    ]
    if not named:
        return []
    same_bytes = _first_holders(db, "sha256", [file.sha256 for _, file in named if file.sha256])
    same_weights = _first_holders(
        db, "weights_hash", [digest for _, file in named if (digest := _weights_hash(file))]
    )
    before = db.execute("select coalesce(max(rowid), 0) from files").fetchone()[0]
    db.conn.executemany(
        "insert into files (sha256, hub, listing_id, name, first_seen, weights_hash) "
        "values (?, ?, ?, ?, ?, ?) on conflict (sha256, hub, listing_id) do nothing",
        [
            (file.sha256 or "", hub, listing_id, file.name, moment, _weights_hash(file))
            for listing_id, file in named
        ],
    )
    new = {
        (row[0], row[1])
        for row in db.execute("select listing_id, sha256 from files where rowid > ?", [before])
    }
    found: list[tuple[str, EventKind, dict[str, Any]]] = []
    for listing_id, file in named:
        # Of two listings on one page, the first one counts as the first holder.
        this = (hub, listing_id)
        first = same_bytes.setdefault(file.sha256, this) if file.sha256 else this
        same = "sha256"
        if first == this and (digest := _weights_hash(file)):
            first, same = same_weights.setdefault(digest, this), "weights"
        if first != this and (listing_id, file.sha256 or "") in new:
            new.remove((listing_id, file.sha256 or ""))
            details = {
                "sha256": file.sha256,
                "file": file.name,
                "same": same,
                "first": {"hub": first[0], "listing_id": first[1]},
            }
            found.append((listing_id, EventKind.RE_UPLOADED, details))
    return found


def rows_among(
    db: Database, query: str, values: Sequence[str], before: list[Any], after: str = ""
) -> list[Any]:
    """The rows in which a column has one of many values."""
    rows: list[Any] = []
    for start in range(0, len(values), _MOST_VALUES):
        part = values[start : start + _MOST_VALUES]
        rows += db.execute(
            f"{query} ({','.join('?' * len(part))}){after}", [*before, *part]
        ).fetchall()
    return rows


def _first_holders(db: Database, column: str, hashes: Sequence[str]) -> dict[str, tuple[str, str]]:
    query = f"select {column}, hub, listing_id, min(rowid) from files where {column} in "
    return {
        row[0]: (row[1], row[2]) for row in rows_among(db, query, hashes, [], f" group by {column}")
    }


def _weights_hash(file: RemoteFile) -> str | None:
    """12 digits; None without a hash, or with the hash of no tensors, which many files share."""
    digits = (file.weights_hash or "")[:12]
    return digits if digits and not is_of_nothing(digits) else None
