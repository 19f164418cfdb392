"""What vouches for the record of a case: a digest, sealed with a key that cases.db does not hold.

Whoever can write cases.db but has no key of the vault's can neither change a case nor put one in unseen. That a whole older
state was put back shows beside the audit log, which names the newest version of every record (scanner.casework.case_records).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from reports.cases.case import Case, case_to_dict
from reports.verify.case_record import canonical_record, record_digest

Mac = Callable[[bytes], str]
"""A digest that only whoever holds the vault's key can make, lower-case hex."""

# Their fields are told apart where one was changed: "checkpoint.creator" says more than "checkpoint".
_OPENED = ("checkpoint", "method")


@dataclass(frozen=True, slots=True)
class RecordSeal:
    """What this program wrote last of a case.

    Attributes:
        version: from 1, one more with each change.
        sha256: of the record (`reports.verify.case_record.record_digest`).
        parts: the beginning of the SHA-256 of each field, to name what was changed.
        mac: over all of that and the case's id.
    """

    version: int
    sha256: str
    parts: dict[str, str]
    mac: str


class RecordSeals:
    """The seals in cases.db, one for each case; writing belongs inside the transaction of what is sealed.

    Args:
        mac: None for whoever only reads: then nothing is sealed, and nobody can tell what was changed.
    """

    def __init__(self, db: Database, mac: Mac | None) -> None:
        self._db, self._mac = db, mac

    @property
    def can_seal(self) -> bool:
        return self._mac is not None

    def of(self, case_id: str) -> RecordSeal | None:
        """The seal of a case; None if this program never sealed it."""
        for row in self._db.table("seals").rows_where("case_id = ?", [case_id]):
            return RecordSeal(row["version"], row["sha256"], json.loads(row["parts"]), row["mac"])
        return None

    def renew(self, case: Case, least: int = 1) -> None:
        """Seal a case as it stands, under the next version, or under `least` if that is higher; nothing if it is sealed so."""
        if self._mac is None:
            return
        known, parts = self.of(case.case_id), _parts(case)
        sha256 = record_digest(case_to_dict(case))
        version = max(least, known.version + 1 if known else 1)
        if (
            known is not None
            and known.sha256 == sha256
            and known.version >= least
            and self._is_ours(case, known)
        ):
            return
        mac = self._mac(_sealed_text(case.case_id, version, sha256, parts))
        row = {
            "case_id": case.case_id,
            "version": version,
            "sha256": sha256,
            "parts": json.dumps(parts),
            "mac": mac,
        }
        self._db.table("seals").upsert(row, pk="case_id")

    def fault(self, case: Case) -> str | None:
        """What is wrong with a record beside its seal, in words; None if it is as this program wrote it."""
        if self._mac is None:
            raise AssertionError("only who holds the vault's key can tell")
        seal = self.of(case.case_id)
        if seal is None:
            return "this program never wrote it: it was put into cases.db from outside"
        if not self._is_ours(case, seal):
            return "its seal was not made with this installation's vault"
        if record_digest(case_to_dict(case)) == seal.sha256:
            return None
        parts = _parts(case)
        changed = sorted(
            name
            for name in parts.keys() | seal.parts.keys()
            if parts.get(name) != seal.parts.get(name)
        )
        return f"changed since this program wrote it: {', '.join(changed)}"

    def _is_ours(self, case: Case, seal: RecordSeal) -> bool:
        text = _sealed_text(case.case_id, seal.version, seal.sha256, seal.parts)
        return self._mac is not None and hmac.compare_digest(self._mac(text), seal.mac)


def _sealed_text(case_id: str, version: int, sha256: str, parts: dict[str, str]) -> bytes:
    return json.dumps([case_id, version, sha256, parts], sort_keys=True).encode()


def _parts(case: Case) -> dict[str, str]:
    told: dict[str, Any] = canonical_record(case_to_dict(case))
    for name in _OPENED:
        told |= {f"{name}.{field}": value for field, value in told.pop(name, {}).items()}
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        for name, value in told.items()
    }
