"""cases.db: the cases, and the folder of images they name by SHA-256."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sqlite_utils import Database, Migrations

from reports.case import Case, case_from_dict, case_to_dict
from reports.errors import EvidenceAltered, UnknownCase

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


class Docket:
    """The only writer of cases.db and of the evidence folder."""

    def __init__(self, path: Path, evidence: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Database(path)
        self._evidence = evidence
        self._db.enable_wal()
        migrations.apply(self._db)

    def close(self) -> None:
        self._db.close()

    def keep_image(self, png: bytes) -> str:
        """Store an image under its SHA-256 and return that, lower-case hex."""
        sha256 = hashlib.sha256(png).hexdigest()
        path = self._evidence / f"{sha256}.png"
        if not path.exists():
            self._evidence.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part")
            partial.write_bytes(png)
            partial.replace(path)
        return sha256

    def image(self, sha256: str) -> bytes:
        """The bytes of a stored image; raises EvidenceAltered if they are not the ones stored."""
        path = self._evidence / f"{sha256}.png"
        if not path.exists() or hashlib.sha256(data := path.read_bytes()).hexdigest() != sha256:
            raise EvidenceAltered(str(path))
        return data

    def open(self, case: Case) -> None:
        """File a case; filing the same case again changes nothing."""
        self._db.table("cases").insert(
            {
                "case_id": case.case_id, "scan_id": case.scan_id, "identity_id": case.identity_id,
                "checkpoint_sha256": case.checkpoint.sha256, "outcome": case.outcome, "opened_at": case.opened_at,
                "record": json.dumps(case_to_dict(case), ensure_ascii=False, sort_keys=True),
            },
            ignore=True,
        )  # fmt: skip

    def case(self, case_id: str) -> Case:
        """The case of that id; raises UnknownCase."""
        for row in self._db.table("cases").rows_where("case_id = ?", [case_id], limit=1):
            return case_from_dict(json.loads(row["record"]))
        raise UnknownCase(case_id)

    def cited_checkpoints(self) -> frozenset[str]:
        """SHA-256 of every checkpoint that a case is about."""
        return frozenset(row[0] for row in self._db.execute("select distinct checkpoint_sha256 from cases").fetchall())

    def of_scan(self, scan_id: str) -> list[Case]:
        """The cases of one scan, matches first, then by score."""
        rows = self._db.table("cases").rows_where("scan_id = ?", [scan_id])
        found = [case_from_dict(json.loads(row["record"])) for row in rows]
        return sorted(found, key=lambda case: (case.outcome != "match", -case.score))
