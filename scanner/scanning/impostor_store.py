"""Counts of impostor scores in scans.db. There is no vector and no identity in them.

A file, named by its SHA-256, is counted once for each face pack, whatever gallery it is searched in
later. Nothing says in which fold it was counted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlite_utils import Database

from scanner.databases import transaction
from scanner.records import ImpostorCounts

_FOLDS = 32


@dataclass(frozen=True, slots=True)
class CountedScores:
    """All counts of one face pack.

    Attributes:
        files, clusters: number of files that were counted, and of the faces in them.
        folds: of each of some disjoint sets of these files, the number of scores by bin, by the
            number of the first bin that was not counted.
    """

    files: int
    clusters: int
    folds: tuple[dict[int, dict[int, int]], ...]


class ImpostorStore:
    """Tables `impostor_files` and `impostor_scores`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def is_counted(self, pack_sha256: str, sha256: str) -> bool:
        """Whether a file was counted with a face pack."""
        query = "select 1 from impostor_files where pack_sha256 = ? and sha256 = ?"
        return self._db.execute(query, [pack_sha256, sha256]).fetchone() is not None

    def add(self, pack_sha256: str, sha256: str, counts: ImpostorCounts) -> None:
        """Add the counts of a file, unless it was counted before."""
        fold = secrets.randbelow(_FOLDS)
        rows = [(pack_sha256, fold, counts.below, *one) for one in counts.counts.items()]
        with transaction(self._db):
            added = self._db.execute(
                "insert or ignore into impostor_files (pack_sha256, sha256, clusters) "
                "values (?, ?, ?)",
                [pack_sha256, sha256, counts.clusters],
            )
            if added.rowcount:
                self._db.conn.executemany(
                    "insert into impostor_scores (pack_sha256, fold, below, bin, count) "
                    "values (?, ?, ?, ?, ?) on conflict do update "
                    "set count = count + excluded.count",
                    rows,
                )

    def counted(self, pack_sha256: str) -> CountedScores:
        """Return all counts of a face pack."""
        query = (
            "select count(*), coalesce(sum(clusters), 0) from impostor_files where pack_sha256 = ?"
        )
        files, clusters = self._db.execute(query, [pack_sha256]).fetchone()
        folds: dict[int, dict[int, dict[int, int]]] = {}
        query = "select fold, below, bin, count from impostor_scores where pack_sha256 = ?"
        query += " and typeof(below) = typeof(bin) and typeof(bin) = typeof(count) "
        query += "and typeof(count) = 'integer' and count between 1 and 1000000000000"
        for fold, below, number, count in self._db.execute(query, [pack_sha256]):
            folds.setdefault(fold, {}).setdefault(below, {})[number] = count
        return CountedScores(files, clusters, tuple(own for _, own in sorted(folds.items())))


def create_impostor_counts(db: Database) -> None:
    """Create the tables."""
    db.execute(
        "create table impostor_files (pack_sha256 text, sha256 text, clusters integer, "
        "primary key (pack_sha256, sha256)) without rowid"
    )
    db.execute(
        "create table impostor_scores (pack_sha256 text, fold integer, below integer, "
        "bin integer, count integer, primary key (pack_sha256, fold, below, bin)) without rowid"
    )
