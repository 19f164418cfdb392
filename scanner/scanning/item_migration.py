"""Items of earlier versions, which had one for each file and scan, as items for ranges of scans."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from scanner.scanning.item_store import keep_listing

_RESULTS = ("state", "sha256", "verdict", "search_key", "settings_key", "sampling_keys")


def take_over_items(db: Database) -> None:
    """Fill the table `items` from `items_of_scans`; called inside the transaction of a migration.

    A result that a scan repeated without a change is stored once.
    """
    newest: dict[tuple[str, str], tuple[int, int, int]] = {}
    newest_scan: dict[str, int] = {}
    positions: Counter[str] = Counter()
    scans = "select scan_id, number, target, started_at from scans order by number"
    for scan_id, number, target, started_at in db.execute(scans).fetchall():
        before = newest_scan.get(target, 0)
        query = "select * from items_of_scans where scan_id = ? order by position"
        for row in db.query(query, [scan_id]):
            key = target, row["item_key"]
            listing_number = keep_listing(db, json.loads(row["listing"]))
            known = newest.get(key)
            if known is not None and known[1] >= before and _is_same(db, known[0], row):
                changes = "last_scan = ?, listed_scan = ?, listing_number = ?, searched_at = ?"
                searched_at = row["searched_at"] or started_at
                values = [number, number, listing_number, searched_at, known[0]]
                db.execute(f"update items set {changes} where item_id = ?", values)
                newest[key] = known[0], number, known[2]
                continue
            if known is None:
                positions[target] += 1
            position = known[2] if known is not None else positions[target]
            record = {
                "target": target,
                "item_key": row["item_key"],
                "first_scan": number,
                "last_scan": number,
                "listed_scan": number,
                "position": position,
                "listing_number": listing_number,
                "file_number": row["file_number"],
                "searched_at": row["searched_at"],
                **{name: row[name] for name in _RESULTS},
            }
            item_id = int(db.table("items").insert(record).last_rowid or 0)
            newest[key] = item_id, number, position
        newest_scan[target] = number


def _is_same(db: Database, item_id: int, row: Mapping[str, Any]) -> bool:
    names = ", ".join(_RESULTS)
    known = db.execute(f"select {names} from items where item_id = ?", [item_id]).fetchone()
    is_judged = row["state"] == "judged"
    return is_judged and bool(known == tuple(row[name] for name in _RESULTS))
