"""Verdicts on captured images and the decisions of second persons, in scans.db."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from scanner.databases import transaction
from scanner.records import CaptureVerdict


class CaptureVerdictStore:
    """Tables `sightings` and `releases`; a version names the images of a subject at one time."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def verdict(self, subject: str, version: str, search_key: str) -> CaptureVerdict | None:
        """Return the verdict on these images under these settings; None if there is none."""
        query = "select record from sightings where subject = ? and version = ? and fingerprint = ?"
        found = self._db.execute(query, [subject, version, search_key]).fetchone()
        return None if found is None else CaptureVerdict.from_json(json.loads(found[0]))

    def keep_verdict(
        self, version: str, search_key: str, verdict: CaptureVerdict, now: datetime
    ) -> None:
        """Store a verdict; it replaces an earlier one under the same key."""
        row = {
            "subject": verdict.key,
            "version": version,
            "fingerprint": search_key,
            "outcome": verdict.outcome,
            "record": json.dumps(verdict.to_json(), ensure_ascii=False),
            "judged_at": now.isoformat(),
        }
        with transaction(self._db):
            self._db.table("sightings").upsert(row, pk=("subject", "version", "fingerprint"))

    def was_searched(self, subject: str, version: str) -> bool:
        """Whether these images were searched before, in any gallery."""
        query = (
            "select 1 from sightings where subject = ? and version = ? "
            "and coalesce(record ->> '$.searched', 1) limit 1"
        )
        return self._db.execute(query, [subject, version]).fetchone() is not None

    def is_held(self, subject: str, version: str) -> bool:
        """Whether the newest search of these images waits for a second person."""
        query = (
            "select record ->> '$.held' from sightings where subject = ? and version = ? "
            "order by judged_at desc, rowid desc limit 1"
        )
        found = self._db.execute(query, [subject, version]).fetchone()
        return bool(found and found[0])

    def outcomes(self, subjects: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return the newest outcome and reason of subjects that were searched."""
        query = (
            "select subject, outcome, record ->> '$.reason' from sightings "
            "where subject in (select value from json_each(?)) order by judged_at, rowid"
        )
        rows = self._db.execute(query, [json.dumps(sorted(set(subjects)))]).fetchall()
        return {subject: (outcome, reason) for subject, outcome, reason in rows}

    def release_of(self, subject: str, version: str) -> dict[str, Any] | None:
        """Return the newest decision of a second person about these images."""
        rows = self._db.table("releases").rows_where(
            "subject = ? and version = ?", [subject, version], order_by="rowid desc", limit=1
        )
        return next((dict(row) for row in rows), None)

    def keep_release(self, row: Mapping[str, str]) -> None:
        """Add a decision; earlier ones stay."""
        with transaction(self._db):
            self._db.table("releases").insert(dict(row))
