"""fingerprints.db: the fingerprint of every file that was fetched or scanned.

Fingerprints of earlier versions are made again when their file is seen again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils import Database, Migrations

from scanner.databases import open_database
from scanner.fingerprints.fingerprint import FileFacts, Fingerprint
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.sketch import NUMBERS, VERSION, Sketch

migrations = Migrations("fingerprints")
_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file and its fingerprint.

    Attributes:
        sha256: of the file.
        weights_hash: SHA-256 of its tensor bytes.
        name: of the file where it was seen first.
    """

    sha256: str
    weights_hash: str | None
    name: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A confirmed file of another installation, from a signed list.

    Attributes:
        source: the name of that installation.
        case_id: of its case.
        known: with its fingerprint; None if the list has none.
    """

    source: str
    case_id: str
    sha256s: tuple[str, ...]
    weights_hash: str | None
    known: KnownFile | None


@migrations()
def fingerprints(db: Database) -> None:
    # Sketches are little-endian float16. `number` rises, so that an index reads only new rows.
    db.execute(
        "create table fingerprints (number integer primary key autoincrement, sha256 text unique, "
        "weights_hash text, name text, version integer, family text, facts text, made_at text, "
        "denoiser blob, denoiser_length real, encoders blob, encoders_length real, "
        "start blob, start_length real)"
    )
    db.execute("create index fingerprints_by_family on fingerprints (version, family, number)")
    db.execute("create index fingerprints_by_weights on fingerprints (weights_hash)")
    # Lists of other installations: who signed the newest one, and the files that it lists.
    db.execute(
        "create table lists "
        "(key_sha256 text primary key, source text, issued_at text, digest text, files integer)"
    )
    db.execute(
        "create table listed_files (key_sha256 text, source text, case_id text, sha256 text, "
        "weights_hash text, has_fingerprint integer, primary key (key_sha256, case_id, sha256))"
    )
    db.execute("create index listed_by_sha256 on listed_files (sha256)")
    db.execute("create index listed_by_weights on listed_files (weights_hash)")
    # Files that have no fingerprint, so that they are not read again for one.
    db.execute("create table refusals (sha256 text primary key, version integer, reason text)")


class FingerprintStore:
    """The only reader and writer of fingerprints.db; used by several threads."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, migrations, any_thread=True)
        self._lock = threading.Lock()

    def close(self) -> None:
        self._db.close()

    def add(self, known: KnownFile, now: datetime) -> None:
        """Store a fingerprint in place of an earlier one of the file."""
        with self._lock, self._db.conn:
            self._insert(known, now.isoformat(), "or replace")

    def _insert(self, known: KnownFile, made_at: str, otherwise: str) -> None:
        """Insert a row; `made_at` is empty for a fingerprint from a list."""
        values: list[Any] = [
            known.sha256,
            known.weights_hash,
            known.name,
            known.fingerprint.version,
            known.fingerprint.family,
            json.dumps(asdict(known.fingerprint.facts)),
            made_at,
        ]
        sketches = known.fingerprint.sketches
        for sketch in (*map(sketches.get, Network), known.fingerprint.start):
            values += (
                [sketch.numbers.astype("<f2").tobytes(), sketch.length] if sketch else [None, None]
            )
        self._db.execute(
            f"insert {otherwise} into fingerprints (sha256, weights_hash, name, version, family, "
            "facts, made_at, denoiser, denoiser_length, encoders, encoders_length, "
            "start, start_length) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def refuse(self, sha256: str, reason: str) -> None:
        """Store why a file has no fingerprint."""
        with self._lock, self._db.conn:
            self._db.execute(
                "insert or replace into refusals (sha256, version, reason) values (?, ?, ?)",
                [sha256, VERSION, reason],
            )

    def refusal(self, sha256: str) -> str | None:
        """Why a file has no fingerprint of this version; None if it has one or was not tried."""
        query = "select reason from refusals where sha256 = ? and version = ?"
        with self._lock:
            row = self._db.execute(query, [sha256, VERSION]).fetchone()
        return row[0] if row else None

    def get(self, sha256: str) -> KnownFile | None:
        """The fingerprint of a file; None without one of this version."""
        return next(iter(self.of([sha256])), None)

    def has_own(self, sha256: str) -> bool:
        """Whether the fingerprint of a file was made here, and not only taken from a list."""
        query = "select 1 from fingerprints where sha256 = ? and version = ? and made_at != ''"
        with self._lock:
            return self._db.execute(query, [sha256, VERSION]).fetchone() is not None

    def of(self, sha256s: Collection[str]) -> list[KnownFile]:
        """The fingerprints of files, those of this version."""
        asked, found = list(dict.fromkeys(sha256s)), []
        for start in range(0, len(asked), _MOST_VALUES):
            part = asked[start : start + _MOST_VALUES]
            query = f"{_SELECT} where sha256 in ({','.join('?' * len(part))}) and version = ?"
            with self._lock:
                rows = self._db.execute(query, [*part, VERSION]).fetchall()
            found += [_known(row) for row in rows]
        return found

    def of_weights(self, weights_hash: str) -> list[str]:
        """The SHA-256 of files with the same tensor bytes."""
        query = "select sha256 from fingerprints where weights_hash = ? order by number"
        with self._lock:
            return [row[0] for row in self._db.execute(query, [weights_hash])]

    def families(self) -> list[str]:
        """The families of files that have fingerprints."""
        query = "select distinct family from fingerprints where version = ? order by family"
        with self._lock:
            return [row[0] for row in self._db.execute(query, [VERSION])]

    def sketches(
        self, family: str, network: Network, after: int, batch: int = 50_000
    ) -> Iterator[tuple[list[int], np.ndarray[Any, Any]]]:
        """Numbers of rows and their sketches [rows, NUMBERS] float16, those of a family.

        Args:
            after: only rows with a higher number.
        """
        query = (
            f"select number, {network} from fingerprints "
            f"where version = ? and family = ? and number > ? and {network} is not null "
            "order by number limit ?"
        )
        while True:
            with self._lock:
                rows = self._db.execute(query, [VERSION, family, after, batch]).fetchall()
            if not rows:
                return
            numbers = np.frombuffer(b"".join(row[1] for row in rows), "<f2")
            yield [row[0] for row in rows], numbers.reshape(len(rows), NUMBERS)
            after = rows[-1][0]

    def numbered(self, numbers: Collection[int]) -> dict[int, KnownFile]:
        """Files by the number of their row."""
        asked = [int(number) for number in numbers]
        query = f"{_SELECT} where number in ({','.join('?' * len(asked))})"
        with self._lock:
            rows = self._db.execute(query, asked).fetchall()
        return {row[0]: _known(row) for row in rows}

    def replace_list(
        self,
        key_sha256: str,
        source: str,
        issued_at: str,
        digest: str,
        files: Collection[ListedFile],
    ) -> None:
        """Put a list in the place of the earlier one that was signed with the same key.

        Fingerprints that only the earlier list brought are deleted.

        Args:
            digest: of the list's text.
        """
        only_listed = (
            "delete from fingerprints where made_at = '' and sha256 in "
            "(select sha256 from listed_files where key_sha256 = ?) and sha256 not in "
            "(select sha256 from listed_files where key_sha256 != ?)"
        )
        with self._lock, self._db.conn:
            self._db.execute(only_listed, [key_sha256, key_sha256])
            self._db.execute("delete from listed_files where key_sha256 = ?", [key_sha256])
            self._db.execute(
                "insert or replace into lists values (?, ?, ?, ?, ?)",
                [key_sha256, source, issued_at, digest, len(files)],
            )
            for file in files:
                for number, sha256 in enumerate(file.sha256s):
                    has_fingerprint = number == 0 and file.known is not None
                    self._db.execute(
                        "insert or ignore into listed_files values (?, ?, ?, ?, ?, ?)",
                        [
                            key_sha256,
                            source,
                            file.case_id,
                            sha256,
                            file.weights_hash,
                            has_fingerprint,
                        ],
                    )
                if file.known is not None:
                    self._insert(file.known, "", "or ignore")

    def lists(self) -> list[dict[str, Any]]:
        """The lists that were imported: key, source, time of issue and number of files."""
        with self._lock:
            return list(self._db.table("lists").rows_where(order_by="source"))

    def listed(self) -> list[tuple[str, str, str]]:
        """SHA-256, source and case of every listed file that has a fingerprint."""
        query = "select sha256, source, case_id from listed_files where has_fingerprint = 1"
        with self._lock:
            return [(row[0], row[1], row[2]) for row in self._db.execute(query)]

    def listed_as(self, sha256: str, weights_hash: str | None) -> list[tuple[str, str]]:
        """Source and case of the listed files with the same bytes or tensor bytes."""
        query = (
            "select distinct source, case_id from listed_files "
            "where sha256 = ? or (weights_hash = ? and weights_hash is not null)"
        )
        with self._lock:
            return [(row[0], row[1]) for row in self._db.execute(query, [sha256, weights_hash])]

    def count(self) -> int:
        """How many files have a fingerprint of this version."""
        query = "select count(*) from fingerprints where version = ?"
        with self._lock:
            return int(self._db.execute(query, [VERSION]).fetchone()[0])


_SELECT = (
    "select number, sha256, weights_hash, name, version, family, facts, denoiser, denoiser_length, "
    "encoders, encoders_length, start, start_length from fingerprints"
)


def _known(row: tuple[Any, ...]) -> KnownFile:
    _, sha256, weights_hash, name, version, family, facts, *sketches = row
    *networks, start = [
        None if numbers is None else Sketch(np.frombuffer(numbers, "<f2"), length)
        for numbers, length in zip(sketches[::2], sketches[1::2], strict=True)
    ]
    found = {
        network: sketch
        for network, sketch in zip(Network, networks, strict=True)
        if sketch is not None
    }
    fingerprint = Fingerprint(version, family, found, FileFacts(**json.loads(facts)), start)
    return KnownFile(sha256, weights_hash, name, fingerprint)
