"""The seals of case records: a digest of each record and its MAC under a key of the vault.

Somebody who can write cases.db and has no key of the vault can neither change nor add a case
without being noticed. The audit log names the newest version of every record, so that an older
cases.db that was put back is noticed as well (scanner.casework.case_records).
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
from reports.verify.case_record import canonical_digest, canonical_record

Mac = Callable[[bytes], str]
"""A MAC under a key of the vault, lower-case hex."""

# Changes are named by these fields' own fields: "checkpoint.creator" instead of "checkpoint".
_OPENED = ("checkpoint", "method")


@dataclass(frozen=True, slots=True)
class RecordSeal:
    """The newest version of a case's record that this program wrote.

    Attributes:
        version: begins with 1 and rises with each change.
        sha256: of the record (`reports.verify_bundle.record_digest`).
        parts: the beginning of the SHA-256 of each field, to name the changed ones.
        mac: over all of these and the case's id.
    """

    version: int
    sha256: str
    parts: dict[str, str]
    mac: str


class RecordSeals:
    """The seals in cases.db, one for each case; the caller seals inside its own transaction.

    Args:
        mac: None for reading only: then nothing is sealed and no change can be noticed.
    """

    def __init__(self, db: Database, mac: Mac | None) -> None:
        self._db, self._mac = db, mac

    @property
    def can_seal(self) -> bool:
        return self._mac is not None

    def of(self, case_id: str) -> RecordSeal | None:
        """The seal of a case; None if it was never sealed."""
        for row in self._db.table("seals").rows_where("case_id = ?", [case_id]):
            return RecordSeal(row["version"], row["sha256"], json.loads(row["parts"]), row["mac"])
        return None

    def renew(self, case: Case, least: int = 1) -> None:
        """Seal a case as it stands; nothing if that is done already.

        Args:
            least: the lowest version that the seal may have.
        """
        if self._mac is None:
            return
        known, record = self.of(case.case_id), canonical_record(case_to_dict(case))
        parts, sha256 = _parts(record), canonical_digest(record)
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

    def fault(self, case: Case, seal: RecordSeal | None) -> str | None:
        """How a record differs from its seal, as a sentence; None if it does not."""
        if self._mac is None:
            raise AssertionError("a seal can be checked only with the vault's key")
        if seal is None:
            return "this program never wrote it: it was put into cases.db from outside"
        if not self._is_ours(case, seal):
            return "its seal was not made with this installation's vault"
        record = canonical_record(case_to_dict(case))
        if canonical_digest(record) == seal.sha256:
            return None
        parts = _parts(record)
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


def _parts(canonical: dict[str, Any]) -> dict[str, str]:
    record = dict(canonical)
    for name in _OPENED:
        record |= {f"{name}.{field}": value for field, value in record.pop(name, {}).items()}
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        for name, value in record.items()
    }
